"""A model's own answers to prompts as they stand: what every insertion is compared with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .forced import forced
from .generation import greedy_answers
from .loading import LoadedModel
from .prompts import NeutralPrompt, encode

WRITTEN = 24  # tokens of an answer that are kept, where fewer are asked for too
LEAST = 1e-38  # probability below which all are alike


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
        self._worst: dict[tuple[NeutralPrompt, int], float] = {}

    def of(self, prompts: Sequence[NeutralPrompt], tokens: int) -> list[list[int]]:
        """The first tokens of each answer, at most `tokens` of them, without a stop token."""
        new = [p for p in dict.fromkeys(prompts) if p not in self._written or self._written[p][0] < tokens]
        written = greedy_answers(self.loaded, self._rows(new), new_tokens=max(tokens, WRITTEN))
        self._written |= {p: (max(tokens, WRITTEN), a) for p, a in zip(new, written, strict=True)}
        return [self._written[p][1][:tokens] for p in prompts]

    def worst(self, prompts: Sequence[NeutralPrompt], tokens: int) -> NDArray[np.float32]:
        """The lowest log-probability (nats) of a token of each answer, its end among its first `tokens`: [prompts]."""
        new = [p for p in dict.fromkeys(prompts) if (p, tokens) not in self._worst]
        ended = [[*answer, self.end][:tokens] for answer in self.of(new, tokens)]
        lowest = np.log(np.maximum(forced(self.loaded, self._rows(new), ended).worst, LEAST))
        self._worst |= {(p, tokens): float(w) for p, w in zip(new, lowest, strict=True)}
        return np.array([self._worst[p, tokens] for p in prompts], dtype=np.float32)

    def remember(self, prompts: Sequence[NeutralPrompt], tokens: int) -> None:
        """Write and read them all at once, which is faster than a few at a time later."""
        self.worst(prompts, tokens)

    def _rows(self, prompts: Sequence[NeutralPrompt]) -> list[list[int]]:
        return [encode(self.loaded, p, chat=self.chat) for p in prompts]
