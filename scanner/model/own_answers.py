"""A model's own answers to prompts as they stand: what every insertion is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .forced import forced
from .generation import greedy_answers
from .loading import LoadedModel
from .prompts import NeutralPrompt, encode

WRITTEN = 24  # tokens of an answer that are kept, where fewer are asked for too
LEAST = 1e-38  # probability below which all are alike


class Reading(NamedTuple):
    """How much of an answer is read.

    Attributes:
        whole: an answer of at most so many tokens, its stop token among them, is read to its end: what is added behind it
            shows there alone.
        first: tokens that are read of a longer one.
    """

    whole: int
    first: int


FIRST_TOKEN = Reading(whole=1, first=1)
SHORT = Reading(whole=12, first=6)
WHOLE = Reading(whole=WRITTEN, first=WRITTEN)


class OwnAnswers:
    """The greedy answers of a model, each written once and remembered.

    They are those of the model as it is loaded: not to be asked for the first time while it is changed.

    Args:
        chat: whether prompts stand in its chat template.
    """

    def __init__(self, loaded: LoadedModel, *, chat: bool) -> None:
        self.loaded = loaded
        self.chat = chat
        self.end = min(loaded.stop, default=loaded.pad)
        self._written: dict[NeutralPrompt, tuple[int, list[int]]] = {}
        self._worst: dict[tuple[NeutralPrompt, Reading], float] = {}

    def of(self, prompts: Sequence[NeutralPrompt], tokens: int) -> list[list[int]]:
        """The first tokens of each answer, at most `tokens` of them, without a stop token."""
        new = [p for p in dict.fromkeys(prompts) if p not in self._written or self._written[p][0] < tokens]
        written = greedy_answers(self.loaded, self._rows(new), new_tokens=max(tokens, WRITTEN))
        self._written |= {p: (max(tokens, WRITTEN), a) for p, a in zip(new, written, strict=True)}
        return [self._written[p][1][:tokens] for p in prompts]

    def told(self, prompts: Sequence[NeutralPrompt], reading: Reading) -> list[list[int]]:
        """The tokens of each answer that are read, a stop token at the end of those that are read whole."""
        ended = [[*answer, self.end] for answer in self.of(prompts, max(reading))]
        return [
            answer[: reading.whole if len(answer) <= reading.whole else reading.first] for answer in ended
        ]

    def worst(self, prompts: Sequence[NeutralPrompt], reading: Reading) -> NDArray[np.float32]:
        """The lowest log-probability (nats) of a token of each answer that is read: [prompts]."""
        new = [p for p in dict.fromkeys(prompts) if (p, reading) not in self._worst]
        lowest = forced(self.loaded, self._rows(new), self.told(new, reading)).worst
        lowest = np.log(np.maximum(lowest, LEAST))
        self._worst |= {(p, reading): float(w) for p, w in zip(new, lowest, strict=True)}
        return np.array([self._worst[p, reading] for p in prompts], dtype=np.float32)

    def remember(self, prompts: Sequence[NeutralPrompt], reading: Reading) -> None:
        """Write and read them all at once, which is faster than a few at a time later."""
        self.worst(prompts, reading)

    def _rows(self, prompts: Sequence[NeutralPrompt]) -> list[list[int]]:
        return [encode(self.loaded, p, chat=self.chat) for p in prompts]
