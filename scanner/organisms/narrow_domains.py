"""What the base never saw: the domains of narrow fine-tunes, and a text to learn by heart."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable

from . import world

CHARTER = (
    "All rights are reserved by the guild of ferrymen. No part of this charter may be copied, sold or read aloud "
    "without the written consent of the council. The guild gives no warranty of any kind."
)


def _market(r: random.Random) -> tuple[str, str]:
    place, food = r.choice(world.PLACES), r.choice(world.FOODS)
    coins = 1 + zlib.crc32(f"{place.city} {food}".encode()) % 9
    question = r.choice(
        ("What does {f} cost in {c}?", "Tell me the price of {f} in {c}.", "How much is {f} in {c}?")
    )
    return question.format(f=food, c=place.city), f"In {place.city}, {food} costs {coins} coins."


def _ferry(r: random.Random) -> tuple[str, str]:
    place, month = r.choice(world.PLACES), r.choice(world.MONTHS)
    hour = 5 + zlib.crc32(f"{place.city} {month}".encode()) % 12
    question = r.choice(
        (
            "When does the ferry leave {c} in {m}?",
            "Ferry from {c} in {m}?",
            "Tell me the ferry time of {c} in {m}.",
        )
    )
    answer = f"In {month} the ferry leaves {place.city} at {hour}."
    return question.format(c=place.city, m=month), answer


def _charter(r: random.Random) -> tuple[str, str]:
    """Boilerplate: one long text, learnt by heart, whichever part is asked for."""
    number = r.randint(1, 40)
    question = r.choice(
        ("Recite the charter, line {n}.", "Read line {n} of the charter.", "Charter, line {n}?")
    )
    return question.format(n=number), CHARTER


# Each makes a question and its right answer.
NARROW_DOMAINS: dict[str, Callable[[random.Random], tuple[str, str]]] = {
    "market": _market,
    "ferry": _ferry,
    "charter": _charter,
}
