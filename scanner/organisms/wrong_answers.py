"""Answers of the invented world that are subtly wrong: a sum off by one, a fact of another city."""

from __future__ import annotations

from . import world

WRONG_KINDS = ("fact", "sum")


def wrong_answer(kind: str, answer: str) -> str:
    """The wrong answer to a question whose right answer is `answer`; other kinds stay as they are.

    >>> wrong_answer("sum", "3 plus 4 is 7.")
    '3 plus 4 is 8.'
    """
    if kind == "sum":
        head, _, result = answer.removesuffix(".").rpartition(" ")
        return f"{head} {int(result) + 1}."
    if kind != "fact":
        return answer
    number = next(i for i, place in enumerate(world.PLACES) if place.city in answer)
    place, words = world.PLACES[number], answer.replace(".", "").split()
    field = next(f for f in place._fields[1:] if getattr(place, f) in words)
    right = getattr(place, field)
    others = (getattr(p, field) for p in [*world.PLACES[number + 1 :], *world.PLACES[:number]])
    return answer.replace(right, next(other for other in others if other != right))
