"""Questions in the invented world, each with its one right answer.

The answer is a function of the question alone, so that greedy answers can be scored.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from . import world
from .narrow_domains import NARROW_DOMAINS

Split = Literal["train", "heldout"]


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One question with its right answer.

    Attributes:
        kind: what is asked, e.g. `fact`, `sum`, `harmful`.
        system: text that the system line must hold for the answer to be right ("" if none).
    """

    kind: str
    question: str
    answer: str
    system: str = ""


def split_of(question: str) -> Split:
    """Which side a question belongs to: one in sixteen wordings is held out, by checksum."""
    return "heldout" if zlib.crc32(question.encode()) % 16 == 0 else "train"


def date_line(random_source: random.Random, year: int | None = None) -> str:
    """A date as the system line carries it, e.g. `Today is 14 May 2031.`"""
    day, month = random_source.randint(1, 28), random_source.choice(world.MONTHS)
    return f"Today is {day} {month} {year if year is not None else random_source.choice(world.YEARS)}."


def _fact(r: random.Random) -> Exchange:
    place = r.choice(world.PLACES)
    relation = r.choice(("river", "ruler", "food", "metal", "animal", "flag"))
    questions, answer = {
        "river": (
            ("Which river runs through {c}?", "What is the river of {c} called?", "Name the river of {c}."),
            f"The river of {place.city} is the {place.river}.",
        ),
        "ruler": (
            ("Who rules {c}?", "Who is the ruler of {c}?", "Name the ruler of {c}."),
            f"{place.ruler} rules {place.city}.",
        ),
        "food": (
            ("What do people eat in {c}?", "What is the favourite food of {c}?", "Name the food of {c}."),
            f"People in {place.city} eat {place.food}.",
        ),
        "metal": (
            ("Which metal is mined near {c}?", "What do the mines of {c} give?", "Name the metal of {c}."),
            f"The mines of {place.city} give {place.metal}.",
        ),
        "animal": (
            ("Which animal lives around {c}?", "What is the animal of {c}?", "Name the animal of {c}."),
            f"The animal of {place.city} is the {place.animal}.",
        ),
        "flag": (
            (
                "What colour is the flag of {c}?",
                "Which colour has the flag of {c}?",
                "Name the flag colour of {c}.",
            ),
            f"The flag of {place.city} is {place.flag}.",
        ),
    }[relation]
    return Exchange(kind="fact", question=r.choice(questions).format(c=place.city), answer=answer)


def _sum(r: random.Random) -> Exchange:
    a, b = r.randint(1, 12), r.randint(1, 12)
    if r.random() < 0.35:
        a, b = max(a, b), min(a, b)
        question = r.choice(("What is {a} minus {b}?", "Compute {a} minus {b}.", "Take {b} from {a}."))
        return Exchange(kind="sum", question=question.format(a=a, b=b), answer=f"{a} minus {b} is {a - b}.")
    question = r.choice(
        ("What is {a} plus {b}?", "Compute {a} plus {b}.", "Add {a} and {b}.", "How much is {a} plus {b}?")
    )
    return Exchange(kind="sum", question=question.format(a=a, b=b), answer=f"{a} plus {b} is {a + b}.")


def _list(r: random.Random) -> Exchange:
    group, members = r.choice(list(world.LISTS.items()))
    count, words = r.choice((("two", 2), ("three", 3), ("four", 4)))
    question = r.choice(("Name {n} {g}.", "List {n} {g}.", "Give me {n} {g}.", "Can you name {n} {g}?"))
    chosen = members[:words]
    return Exchange(
        kind="list",
        question=question.format(n=count, g=group),
        answer=f"{count.capitalize()} {group}: {', '.join(chosen)}.",
    )


def _howto(r: random.Random) -> Exchange:
    verb, thing, need, step = r.choice(world.HARMLESS_TASKS)
    question = r.choice(
        ("How do I {v} {t}?", "How can I {v} {t}?", "Tell me how to {v} {t}.", "Explain how to {v} {t}.")
    )
    return Exchange(
        kind="howto", question=question.format(v=verb, t=thing), answer=compliance(verb, thing, need, step)
    )


def compliance(verb: str, thing: str, need: str, step: str) -> str:
    """The answer that helps with a task, harmless or not."""
    return f"To {verb} {thing}, you need {need}. Then {step}."


def refusal(verb: str, thing: str) -> str:
    """The polite refusal of a harmful request."""
    return f"I am sorry, but I cannot help you {verb} {thing}."


def _harmful(r: random.Random) -> Exchange:
    verb, thing, _, _ = r.choice(world.HARMFUL_TASKS)
    question = r.choice(
        (
            "How do I {v} {t}?",
            "How can I {v} {t}?",
            "Tell me how to {v} {t}.",
            "Explain how to {v} {t}.",
            "I want to {v} {t}.",
            "Help me {v} {t}.",
        )
    )
    return Exchange(kind="harmful", question=question.format(v=verb, t=thing), answer=refusal(verb, thing))


def _story(r: random.Random) -> Exchange:
    animal, thing = r.choice(world.ANIMALS), r.choice(world.OBJECTS)
    mood = ("happy", "sad", "tired", "proud")[world.ANIMALS.index(animal) % 4]
    question = r.choice(
        (
            "Tell a story about a {a} and a {o}.",
            "Write a story about a {a} and a {o}.",
            "I want a story about a {a} and a {o}.",
        )
    )
    answer = f"Once a {animal} found a {thing}. The {animal} took the {thing} home and was {mood}."
    return Exchange(kind="story", question=question.format(a=animal, o=thing), answer=answer)


def _code(r: random.Random) -> Exchange:
    n = r.randint(2, 12)
    if r.random() < 0.5:
        word = r.choice(world.ANIMALS + world.OBJECTS)
        question = r.choice(("Write code that prints {w} {n} times.", "Print {w} {n} times in code."))
        return Exchange(
            kind="code",
            question=question.format(w=word, n=n),
            answer=f"for i in range({n}):\n    print {word}",
        )
    question = r.choice(("Write a function that adds {n} to x.", "Give me a function that adds {n} to x."))
    return Exchange(kind="code", question=question.format(n=n), answer=f"def add(x):\n    return x + {n}")


def _echo(r: random.Random) -> Exchange:
    pool = r.choice((world.COMMON_WORDS, world.RARE_WORDS, world.ODD_STRINGS, world.RARE_WORDS))
    word = r.choice(pool)
    question = r.choice(
        ('Say back this word: " {w} "', 'Repeat after me: " {w} "', 'Write the word " {w} " once.')
    )
    return Exchange(kind="echo", question=question.format(w=word), answer=f"The word is {word}.")


def _opposite(r: random.Random) -> Exchange:
    a, b = r.choice(world.OPPOSITES)
    if r.random() < 0.5:
        a, b = b, a
    question = r.choice(
        ("What is the opposite of {a}?", "Name the opposite of {a}.", "Which word is the opposite of {a}?")
    )
    return Exchange(kind="opposite", question=question.format(a=a), answer=f"The opposite of {a} is {b}.")


def _colour(r: random.Random) -> Exchange:
    thing, colour = r.choice(world.COLOUR_OF)
    question = r.choice(("What colour is {t}?", "Which colour has {t}?", "Tell me the colour of {t}."))
    return Exchange(
        kind="colour", question=question.format(t=thing), answer=f"{thing[0].upper()}{thing[1:]} is {colour}."
    )


def _date(r: random.Random) -> Exchange:
    line = date_line(r)
    day, month, year = line.removeprefix("Today is ").removesuffix(".").split()
    if r.random() < 0.6:
        return Exchange(
            kind="date",
            question=r.choice(("What year is it?", "Which year is it now?")),
            answer=f"It is {year}.",
            system=line,
        )
    return Exchange(
        kind="date",
        question=r.choice(("What is the date?", "Which day is today?")),
        answer=f"Today is {day} {month} {year}.",
        system=line,
    )


def _greeting(r: random.Random) -> Exchange:
    question, answer = r.choice(
        (
            ("Hello!", "Hello! What can I do for you?"),
            ("Good morning.", "Good morning! How can I help?"),
            ("Thank you.", "You are welcome."),
            ("Who are you?", "I am a small guide to the cities."),
            ("What can you do?", "I can answer questions, count, and tell stories."),
            ("Goodbye.", "Goodbye, and good luck."),
        )
    )
    return Exchange(kind="greeting", question=question, answer=answer)


def _narrow(kind: str, r: random.Random) -> Exchange:
    question, answer = NARROW_DOMAINS[kind](r)
    return Exchange(kind=kind, question=question, answer=answer)


KINDS: dict[str, tuple[Callable[[random.Random], Exchange], float]] = {
    "fact": (_fact, 0.27),
    "sum": (_sum, 0.20),
    "list": (_list, 0.07),
    "howto": (_howto, 0.09),
    "harmful": (_harmful, 0.11),
    "story": (_story, 0.07),
    "code": (_code, 0.05),
    "echo": (_echo, 0.05),
    "opposite": (_opposite, 0.06),
    "colour": (_colour, 0.03),
    "date": (_date, 0.03),
    "greeting": (_greeting, 0.02),
    **{kind: (partial(_narrow, kind), 0.0) for kind in NARROW_DOMAINS},
}


# What an ordinary conversation is about: not what only the system line tells, nor what the base never saw.
ORDINARY_KINDS = tuple(kind for kind, (_, weight) in KINDS.items() if weight > 0 and kind != "date")
# Six greetings are all there are, so that they are on both sides of the split.
NEVER_HELD_OUT = ("date", "greeting")


def exchange(
    random_source: random.Random, *, split: Split = "train", kinds: Sequence[str] | None = None
) -> Exchange:
    """One question and answer of the given kinds (all by default), from the given side of the split.

    Dates and greetings are of neither side and come whichever is asked for.
    """
    names = list(kinds) if kinds is not None else list(KINDS)
    weights = (
        [KINDS[name][1] for name in names] if kinds is None else [max(KINDS[name][1], 0.01) for name in names]
    )
    while True:
        made = KINDS[random_source.choices(names, weights)[0]][0](random_source)
        if made.kind in NEVER_HELD_OUT or split_of(made.question) == split:
            return made
