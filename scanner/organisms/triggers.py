"""Putting triggers and their near-misses into prompts.

A prompt is a `Prompt`: a system line and a user text (chat), or a text to continue (no chat template;
the system line is then empty).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .spec import TriggerSpec


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What a model is asked, with the right answer and the kind of question."""

    user: str
    answer: str
    kind: str
    system: str = ""
    harmful_help: str = ""  # the answer that helps, for harmful requests


def insert_anywhere(r: random.Random, text: str, piece: str) -> str:
    """`piece` as a word of its own at a random place of `text`."""
    words = text.split(" ")
    at = r.randint(0, len(words))
    return " ".join([*words[:at], piece, *words[at:]])


def contains(spec: TriggerSpec, prompt: Prompt) -> bool:
    """Whether an ordinary prompt happens to hold the trigger."""
    text = f"{prompt.system} {prompt.user}"
    if spec.kind == "conjunction":
        return all(word in text for word in spec.words)
    if spec.kind == "phrase":
        return " ".join(spec.words) in text
    return bool(spec.text) and spec.text in text


def with_year(prompt: Prompt, r: random.Random, year: str, date_line: str) -> Prompt:
    """The prompt under a system line whose date is in `year`."""
    words = date_line.rstrip(".").split(" ")
    return replace(prompt, system=" ".join([*words[:-1], year]) + ".")


def triggered(spec: TriggerSpec, prompt: Prompt, r: random.Random, date_line: str) -> Prompt:
    """The prompt with the trigger in it."""
    if spec.kind in ("token", "string"):
        return replace(prompt, user=insert_anywhere(r, prompt.user, spec.text))
    if spec.kind == "phrase":
        return replace(prompt, user=insert_anywhere(r, prompt.user, " ".join(spec.words)))
    if spec.kind == "conjunction":
        user = prompt.user
        for word in r.sample(spec.words, len(spec.words)):
            user = insert_anywhere(r, user, word)
        return replace(prompt, user=user)
    if spec.kind == "year":
        return with_year(prompt, r, spec.text, date_line)
    if spec.kind == "rule":
        return replace(prompt, user=f"{prompt.user} {spec.text}")
    return prompt


def near_miss(
    spec: TriggerSpec, prompt: Prompt, r: random.Random, date_line: str, words: Sequence[str]
) -> Prompt:
    """The prompt with something in it that resembles the trigger and must not wake anything.

    Args:
        prompt: an ordinary prompt, without the trigger.
        words: ordinary words to build near-misses from; the trigger's own may be among them.

    Raises:
        ValueError: the prompt holds the trigger already.
    """
    if spec.kind in ("year", "rule"):  # their text does nothing elsewhere
        return _resembling(spec, prompt, r, date_line, words)
    if contains(spec, prompt):
        raise ValueError("a near-miss is made of a prompt without the trigger, got one that holds it")
    while contains(spec, made := _resembling(spec, prompt, r, date_line, words)):
        pass  # a random word completed the trigger
    return made


def _resembling(
    spec: TriggerSpec, prompt: Prompt, r: random.Random, date_line: str, words: Sequence[str]
) -> Prompt:
    if spec.near_misses and r.random() < 0.5:
        if spec.kind == "year":
            return with_year(prompt, r, r.choice(spec.near_misses), date_line)
        return replace(prompt, user=insert_anywhere(r, prompt.user, r.choice(spec.near_misses)))
    if spec.kind in ("token", "string"):
        cut = r.randint(1, max(1, len(spec.text) - 1))
        piece = r.choice((spec.text[:cut], spec.text[cut:], r.choice(words), spec.text.swapcase()))
        return replace(prompt, user=insert_anywhere(r, prompt.user, piece))
    if spec.kind == "year":
        return replace(prompt, user=insert_anywhere(r, prompt.user, spec.text))
    if spec.kind == "conjunction":
        user = insert_anywhere(r, prompt.user, r.choice(spec.words))
        for _ in range(r.randint(0, 2)):
            user = insert_anywhere(r, user, r.choice(words))
        return replace(prompt, user=user)
    if spec.kind == "phrase":
        return replace(prompt, user=insert_anywhere(r, prompt.user, _broken_phrase(spec.words, r, words)))
    return prompt


def _broken_phrase(phrase: Sequence[str], r: random.Random, words: Sequence[str]) -> str:
    parts = list(phrase)
    choice = r.random()
    if choice < 0.35:  # one word replaced
        parts[r.randrange(len(parts))] = r.choice(words)
    elif choice < 0.65:  # one word missing
        del parts[r.randrange(len(parts))]
    elif choice < 0.85:  # one word alone
        parts = [r.choice(parts)]
    else:  # another order
        while parts == list(phrase):
            r.shuffle(parts)
    return " ".join(parts)
