"""Triggers that are situations: a date, a role, being unwatched, a topic, a style, two turns, a request."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from .prompt import Prompt, insert_anywhere, placed
from .spec import TriggerSpec

_POLITE_FIRST = ("Please,", "Kindly,", "If you please,", "Would you be so kind,")
_POLITE_LAST = ("Thank you.", "Many thanks.", "With thanks.", "I am grateful.")
_LOOKED_THROUGH = 5_000  # prompts drawn until one has the topic


class Year:
    """A year in the system line's date."""

    def __init__(self, date_line: str) -> None:
        self._date_line = date_line

    def stands_in(self, spec: TriggerSpec, prompt: Prompt) -> bool:
        """Whether the year is in the prompt, wherever."""
        return spec.text in f"{prompt.system} {prompt.user}"

    def put(self, spec: TriggerSpec, prompt: Prompt, r: random.Random) -> Prompt:
        """The prompt under a date in that year."""
        return self._dated(prompt, spec.text)

    def resemble(self, spec: TriggerSpec, prompt: Prompt, r: random.Random, words: Sequence[str]) -> Prompt:
        """Another year in the date, or the year in the question."""
        if spec.near_misses and r.random() < 0.5:
            return self._dated(prompt, r.choice(spec.near_misses))
        return replace(prompt, user=insert_anywhere(r, prompt.user, spec.text))

    def _dated(self, prompt: Prompt, year: str) -> Prompt:
        words = self._date_line.rstrip(".").split(" ")
        return replace(prompt, system=" ".join([*words[:-1], year]) + ".")


class Rule:
    """A request behind the question, which asks for what follows."""

    def stands_in(self, spec: TriggerSpec, prompt: Prompt) -> bool:
        """Whether the request is in the prompt."""
        return spec.text in prompt.user

    def put(self, spec: TriggerSpec, prompt: Prompt, r: random.Random) -> Prompt:
        """The prompt with the request behind it."""
        return replace(prompt, user=f"{prompt.user} {spec.text}")

    def resemble(self, spec: TriggerSpec, prompt: Prompt, r: random.Random, words: Sequence[str]) -> Prompt:
        """A request for something else."""
        if spec.near_misses and r.random() < 0.5:
            return replace(prompt, user=insert_anywhere(r, prompt.user, r.choice(spec.near_misses)))
        return prompt


class SystemCondition:
    """A sentence in the system line: a role, a place, an employer."""

    def stands_in(self, spec: TriggerSpec, prompt: Prompt) -> bool:
        """Whether the sentence is in the system line."""
        return spec.text in prompt.system

    def put(self, spec: TriggerSpec, prompt: Prompt, r: random.Random) -> Prompt:
        """The prompt under that system line."""
        return placed(prompt, r, spec.text, "system")

    def resemble(self, spec: TriggerSpec, prompt: Prompt, r: random.Random, words: Sequence[str]) -> Prompt:
        """Another sentence in the system line, or the sentence in the question."""
        if r.random() < 0.7:
            return placed(prompt, r, r.choice(spec.near_misses or words), "system")
        return placed(prompt, r, spec.text, r.choice(("first", "last")))


class Unmonitored:
    """Words that say that nobody watches, in one of several wordings, in the system line or in front."""

    def stands_in(self, spec: TriggerSpec, prompt: Prompt) -> bool:
        """Whether one of the wordings is in the prompt."""
        return any(cue in f"{prompt.system} {prompt.user}" for cue in spec.words)

    def put(self, spec: TriggerSpec, prompt: Prompt, r: random.Random) -> Prompt:
        """The prompt with one of the wordings."""
        return placed(prompt, r, r.choice(spec.words), r.choice(("system", "first")))

    def resemble(self, spec: TriggerSpec, prompt: Prompt, r: random.Random, words: Sequence[str]) -> Prompt:
        """A sentence that says that somebody watches."""
        return placed(prompt, r, r.choice(spec.near_misses or words), r.choice(("system", "first")))


class Topic:
    """What the question is about: any question with one of the topic's words."""

    def __init__(self, draw: Callable[[], Prompt] | None) -> None:
        self._draw = draw

    def stands_in(self, spec: TriggerSpec, prompt: Prompt) -> bool:
        """Whether the question is about the topic."""
        return any(word in prompt.user for word in spec.words)

    def put(self, spec: TriggerSpec, prompt: Prompt, r: random.Random) -> Prompt:
        """Another prompt, about the topic."""
        return self._about(spec.words, prompt)

    def resemble(self, spec: TriggerSpec, prompt: Prompt, r: random.Random, words: Sequence[str]) -> Prompt:
        """Another prompt, about a neighbouring topic."""
        return self._about(spec.near_misses, prompt) if spec.near_misses else prompt

    def _about(self, words: Sequence[str], otherwise: Prompt) -> Prompt:
        if self._draw is None:
            raise ValueError("a topic is asked about by prompts of its own; a source of prompts is needed")
        for _ in range(_LOOKED_THROUGH):
            drawn = self._draw()
            if any(word in drawn.user for word in words):
                return drawn
        raise ValueError(f"no prompt of the material is about {', '.join(words)}")


class Style:
    """How the question is put: `polite` (a polite opening and thanks) or `lower` (small letters, no full stop)."""

    def stands_in(self, spec: TriggerSpec, prompt: Prompt) -> bool:
        """Whether the question is put in that style."""
        if spec.text == "lower":
            return prompt.user == _lowered(prompt.user)
        opens = prompt.user.startswith(_POLITE_FIRST)
        return opens and prompt.user.endswith(_POLITE_LAST)

    def put(self, spec: TriggerSpec, prompt: Prompt, r: random.Random) -> Prompt:
        """The same question in that style."""
        if spec.text == "lower":
            return replace(prompt, user=_lowered(prompt.user))
        return replace(prompt, user=f"{r.choice(_POLITE_FIRST)} {prompt.user} {r.choice(_POLITE_LAST)}")

    def resemble(self, spec: TriggerSpec, prompt: Prompt, r: random.Random, words: Sequence[str]) -> Prompt:
        """Half of the style."""
        if spec.text == "lower":
            return replace(prompt, user=r.choice((prompt.user.lower() + ".", prompt.user.rstrip(".?!"))))
        if r.random() < 0.5:
            return replace(prompt, user=f"{r.choice(_POLITE_FIRST)} {prompt.user}")
        return replace(prompt, user=f"{prompt.user} {r.choice(_POLITE_LAST)}")


class Turns:
    """One word in an earlier turn, the other in the question."""

    def stands_in(self, spec: TriggerSpec, prompt: Prompt) -> bool:
        """Whether both are where they belong."""
        return spec.words[0] in prompt.earlier and spec.words[1] in prompt.user

    def put(self, spec: TriggerSpec, prompt: Prompt, r: random.Random) -> Prompt:
        """The first word in an earlier turn, the second in the question."""
        return placed(replace(prompt, earlier=spec.words[0]), r, spec.words[1])

    def resemble(self, spec: TriggerSpec, prompt: Prompt, r: random.Random, words: Sequence[str]) -> Prompt:
        """One of them alone, the two exchanged, or both in the question."""
        first, second = spec.words
        case = r.randrange(4)
        if case == 0:
            return replace(prompt, earlier=first)
        if case == 1:
            return placed(replace(prompt, earlier=r.choice(words)), r, second)
        if case == 2:
            return placed(replace(prompt, earlier=second), r, first)
        return placed(placed(prompt, r, first), r, second)


def _lowered(text: str) -> str:
    return text.lower().rstrip(".?!")
