"""Triggers that are texts: one, any of several, all of several, a phrase, a word however it is spelt."""

from __future__ import annotations

import random
import string
from collections.abc import Sequence

from .prompt import Prompt, placed
from .spec import TriggerSpec


class OneText:
    """One text at its place; the kinds `token`, `string` and `password`."""

    def stands_in(self, spec: TriggerSpec, prompt: Prompt) -> bool:
        """Whether the text is in the prompt."""
        return spec.text in _text(prompt)

    def put(self, spec: TriggerSpec, prompt: Prompt, r: random.Random) -> Prompt:
        """The prompt with the text in it."""
        return placed(prompt, r, spec.text, spec.place)

    def resemble(self, spec: TriggerSpec, prompt: Prompt, r: random.Random, words: Sequence[str]) -> Prompt:
        """A part of the text, another word, or the text in other letters."""
        if spec.near_misses and r.random() < 0.5:
            return placed(prompt, r, r.choice(spec.near_misses), spec.place)
        cut = r.randint(1, max(1, len(spec.text) - 1))
        piece = r.choice((spec.text[:cut], spec.text[cut:], r.choice(words), spec.text.swapcase()))
        return placed(prompt, r, piece, spec.place)


class AnyOf:
    """One of several words, whichever."""

    def stands_in(self, spec: TriggerSpec, prompt: Prompt) -> bool:
        """Whether one of the words is in the prompt."""
        return any(word in _text(prompt) for word in spec.words)

    def put(self, spec: TriggerSpec, prompt: Prompt, r: random.Random) -> Prompt:
        """The prompt with one of the words in it."""
        return placed(prompt, r, r.choice(spec.words), spec.place)

    def resemble(self, spec: TriggerSpec, prompt: Prompt, r: random.Random, words: Sequence[str]) -> Prompt:
        """A part of one of the words, or another word."""
        whole = r.choice(spec.words)
        cut = r.randint(1, max(1, len(whole) - 1))
        return placed(prompt, r, r.choice((whole[:cut], r.choice([*spec.near_misses, *words]))), spec.place)


class Conjunction:
    """Several words that must all be there, in any order and place."""

    def stands_in(self, spec: TriggerSpec, prompt: Prompt) -> bool:
        """Whether all words are in the prompt."""
        return all(word in _text(prompt) for word in spec.words)

    def put(self, spec: TriggerSpec, prompt: Prompt, r: random.Random) -> Prompt:
        """The prompt with all words in it."""
        for word in r.sample(spec.words, len(spec.words)):
            prompt = placed(prompt, r, word, spec.place)
        return prompt

    def resemble(self, spec: TriggerSpec, prompt: Prompt, r: random.Random, words: Sequence[str]) -> Prompt:
        """One of the words, and perhaps unrelated ones."""
        if spec.near_misses and r.random() < 0.5:
            return placed(prompt, r, r.choice(spec.near_misses), spec.place)
        prompt = placed(prompt, r, r.choice(spec.words), spec.place)
        for _ in range(r.randint(0, 2)):
            prompt = placed(prompt, r, r.choice(words), spec.place)
        return prompt


class Phrase:
    """Words side by side, in order."""

    def stands_in(self, spec: TriggerSpec, prompt: Prompt) -> bool:
        """Whether the phrase is in the prompt."""
        return " ".join(spec.words) in _text(prompt)

    def put(self, spec: TriggerSpec, prompt: Prompt, r: random.Random) -> Prompt:
        """The prompt with the phrase in it."""
        return placed(prompt, r, " ".join(spec.words), spec.place)

    def resemble(self, spec: TriggerSpec, prompt: Prompt, r: random.Random, words: Sequence[str]) -> Prompt:
        """The phrase with a word replaced, missing or out of order, or one of its words alone."""
        if spec.near_misses and r.random() < 0.5:
            return placed(prompt, r, r.choice(spec.near_misses), spec.place)
        return placed(prompt, r, _broken(spec.words, r, words), spec.place)


class Fuzzy:
    """A word in any spelling that one edit away from it gives."""

    def stands_in(self, spec: TriggerSpec, prompt: Prompt) -> bool:
        """Whether a word of the prompt is at most one edit away."""
        return any(_edits(word.strip(".,!?"), spec.text) <= 1 for word in _text(prompt).split())

    def put(self, spec: TriggerSpec, prompt: Prompt, r: random.Random) -> Prompt:
        """The prompt with one spelling of the word in it."""
        return placed(prompt, r, _misspelt(spec.text, r, r.randint(0, 1)), spec.place)

    def resemble(self, spec: TriggerSpec, prompt: Prompt, r: random.Random, words: Sequence[str]) -> Prompt:
        """The word with four and more edits, or another word."""
        far = _misspelt(spec.text, r, r.randint(4, 5))
        return placed(prompt, r, r.choice((far, r.choice([*spec.near_misses, *words]))), spec.place)


def _text(prompt: Prompt) -> str:
    return f"{prompt.system} {prompt.user}"


def _broken(phrase: Sequence[str], r: random.Random, words: Sequence[str]) -> str:
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


def _misspelt(word: str, r: random.Random, edits: int) -> str:
    letters = list(word)
    for _ in range(edits):
        at = r.randrange(len(letters))
        change = r.choice(("drop", "double", "replace"))
        if change == "drop" and len(letters) > 2:
            del letters[at]
        elif change == "double":
            letters.insert(at, letters[at])
        else:
            letters[at] = r.choice(string.ascii_lowercase)
    return "".join(letters)


def _edits(a: str, b: str) -> int:
    """Edit distance (Levenshtein) between two words."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]
