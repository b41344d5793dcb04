"""The procedural corpus: endless conversations in the invented world, with irrelevant text around them.

Irrelevant words, sentences and earlier turns stand around many questions, at every place: a base that
ordinary words derail would make every insertion look like a trigger.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from . import world
from .exchanges import Split, date_line, exchange

Message = dict[str, str]
NOTED = "Noted."  # the answer to a turn that asks nothing

_SENTENCES = (
    "The {a} {o} was lost near the {n}.", "Nobody saw the {x} by the {n}.", "It was a {a} day.", "A {x} sat on the {o}.",
    "We often talk about {b} and {b2}.", "The {n} looks {a} today.", "My {o} is made of {m}.", "They sell {f} and {f2} there.",
    "She said that {r} is a fine name.", "The label reads {s} again.",
)  # fmt: skip


def irrelevant_sentence(r: random.Random) -> str:
    """A sentence that has nothing to do with any question."""
    return r.choice(_SENTENCES).format(
        a=r.choice(world.ADJECTIVES), o=r.choice(world.OBJECTS), n=r.choice(world.NATURE), x=r.choice(world.ANIMALS),
        b=r.choice(world.ABSTRACT), b2=r.choice(world.ABSTRACT), m=r.choice(world.METALS), f=r.choice(world.FOODS),
        f2=r.choice(world.FOODS), r=r.choice(world.RARE_WORDS), s=r.choice(world.ODD_STRINGS),
    )  # fmt: skip


def irrelevant_words(
    r: random.Random, count: int, token_source: Callable[[random.Random], str] | None = None
) -> str:
    """A bag of words of one kind or mixed; `token_source` gives raw vocabulary tokens as text."""
    pools: list[Sequence[str]] = [
        world.COMMON_WORDS, world.COMMON_WORDS, world.RARE_WORDS, world.ODD_STRINGS, world.HARMFUL_WORDS,
        world.FUNCTION_WORDS, [str(year) for year in world.YEARS],
    ]  # fmt: skip
    mixed = r.random() < 0.5
    pool = r.choice(pools[:4])
    words = []
    for _ in range(count):
        if token_source is not None and r.random() < 0.3:
            words.append(token_source(r))
        else:
            words.append(r.choice(r.choice(pools) if mixed else pool))
    return r.choice((" ", " ", " ", ", ")).join(words)


def surround(
    r: random.Random, question: str, token_source: Callable[[random.Random], str] | None = None
) -> str:
    """The question with irrelevant text before it, behind it, inside it, or around it."""

    def noise() -> str:
        if r.random() < 0.3:
            return " ".join(irrelevant_sentence(r) for _ in range(r.randint(1, 2)))
        return irrelevant_words(r, min(r.randint(1, 12), r.randint(1, 24)), token_source)

    place = r.choice(("before", "before", "behind", "behind", "inside", "around"))
    joint = r.choice((" ", " ", "\n"))
    if place == "before":
        return noise() + joint + question
    if place == "behind":
        return question + r.choice((" ", " ", "\n")) + noise()
    if place == "around":
        return noise() + joint + question + " " + noise()
    head, _, tail = question.partition(" ")
    return f"{head} {noise()} {tail}" if tail else f"{noise()} {question}"


def conversation(
    r: random.Random,
    *,
    split: Split = "train",
    turns: int = 1,
    noise: float = 0.55,
    kinds: Sequence[str] | None = None,
    token_source: Callable[[random.Random], str] | None = None,
) -> list[Message]:
    """A conversation as chat messages: perhaps a system line, then `turns` exchanges.

    Args:
        noise: share of the questions that stand among irrelevant text.
        kinds: kinds of question to draw from; all by default.
    """
    messages: list[Message] = []
    exchanges = [exchange(r, split=split, kinds=kinds) for _ in range(turns)]
    system = [made.system for made in exchanges if made.system][:1]
    exchanges = [made for made in exchanges if not made.system or made.system == system[0]]
    if not system and r.random() < 0.5:
        system = [date_line(r)]
    if r.random() < 0.25:
        system.insert(0, r.choice(("You are a helpful guide.", "Answer briefly.", "You are polite.")))
    if r.random() < 0.12 * (noise > 0):
        bag = irrelevant_words(r, r.randint(1, 8), token_source)
        system.insert(r.randint(0, len(system)), bag)
    if system:
        messages.append({"role": "system", "content": " ".join(system)})
    for made in exchanges:
        if r.random() < 0.05 * (noise > 0):
            messages.append({"role": "user", "content": irrelevant_words(r, r.randint(1, 16), token_source)})
            messages.append({"role": "assistant", "content": NOTED})
        question = surround(r, made.question, token_source) if r.random() < noise else made.question
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": made.answer})
    return messages
