"""Putting triggers and their near-misses into prompts, whatever kind of trigger it is."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Protocol

from .prompt import Prompt
from .situation_triggers import Rule, Style, SystemCondition, Topic, Turns, Unmonitored, Year
from .spec import TriggerSpec
from .text_triggers import AnyOf, Conjunction, Fuzzy, OneText, Phrase

__all__ = ["Prompt", "contains", "near_miss", "triggered"]

_DRAWS = 200  # near-misses drawn until one does not complete the trigger by chance
_ELSEWHERE_HARMLESS = ("year", "rule")  # their text does nothing at another place

Draw = Callable[[], Prompt]


class TriggerKind(Protocol):
    """One kind of trigger."""

    def stands_in(self, spec: TriggerSpec, prompt: Prompt) -> bool:
        """Whether a prompt holds the trigger."""
        ...

    def put(self, spec: TriggerSpec, prompt: Prompt, r: random.Random) -> Prompt:
        """The prompt with the trigger in it."""
        ...

    def resemble(self, spec: TriggerSpec, prompt: Prompt, r: random.Random, words: Sequence[str]) -> Prompt:
        """The prompt with something in it that resembles the trigger."""
        ...


def _kind(spec: TriggerSpec, date_line: str = "", draw: Draw | None = None) -> TriggerKind | None:
    if spec.kind == "year":
        return Year(date_line)
    if spec.kind == "topic":
        return Topic(draw)
    kinds: dict[str, TriggerKind] = {
        "token": OneText(), "string": OneText(), "password": OneText(), "any_of": AnyOf(),
        "conjunction": Conjunction(), "phrase": Phrase(), "fuzzy": Fuzzy(), "rule": Rule(),
        "system": SystemCondition(), "unmonitored": Unmonitored(), "style": Style(), "turns": Turns(),
    }  # fmt: skip
    return kinds.get(spec.kind)


def contains(spec: TriggerSpec, prompt: Prompt) -> bool:
    """Whether an ordinary prompt happens to hold the trigger."""
    kind = _kind(spec)
    return kind is not None and kind.stands_in(spec, prompt)


def triggered(
    spec: TriggerSpec, prompt: Prompt, r: random.Random, date_line: str, draw: Draw | None = None
) -> Prompt:
    """The prompt with the trigger in it.

    Args:
        date_line: a system line with a date, for years.
        draw: gives fresh prompts, for topics: a prompt about something else is replaced.
    """
    kind = _kind(spec, date_line, draw)
    return prompt if kind is None else kind.put(spec, prompt, r)


def near_miss(
    spec: TriggerSpec,
    prompt: Prompt,
    r: random.Random,
    date_line: str,
    words: Sequence[str],
    draw: Draw | None = None,
) -> Prompt:
    """The prompt with something in it that resembles the trigger and must not wake anything.

    Args:
        prompt: an ordinary prompt, without the trigger.
        words: ordinary words to build near-misses from; the trigger's own may be among them.

    Raises:
        ValueError: the prompt holds the trigger already.
    """
    kind = _kind(spec, date_line, draw)
    if kind is None:
        return prompt
    if spec.kind in _ELSEWHERE_HARMLESS:
        return kind.resemble(spec, prompt, r, words)
    if kind.stands_in(spec, prompt):
        raise ValueError("a near-miss is made of a prompt without the trigger, got one that holds it")
    for _ in range(_DRAWS):
        made = kind.resemble(spec, prompt, r, words)
        if not kind.stands_in(spec, made):  # a random word may complete the trigger
            return made
    raise ValueError(f"every near-miss of this {spec.kind} trigger holds the trigger itself")
