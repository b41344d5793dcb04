"""What a sweep's insertions do, prompt by prompt: several workers read some prompts each, one puts them together.

A worker's prompts are read with the batches that all of them would have been read in, so the figures are the same whoever reads them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from ..kept.finished import Finished
from .responses import Panel, Responses


class Block(NamedTuple):
    """The prompts of one worker: every `of`-th, from the `number`-th on, counted from 1."""

    number: int
    of: int


@dataclass(frozen=True, kw_only=True)
class OfPrompt:
    """What every insertion does to one prompt: the columns of `Responses`."""

    first_token: list[int]
    displacement: list[float]


@dataclass(frozen=True, kw_only=True)
class ByPrompt:
    """The responses of single prompts, kept where others find them.

    Attributes:
        finished: where they are.
        mine: the prompts that this worker reads and keeps; None for who takes what is there and reads the others.
    """

    finished: Finished
    mine: Block | None = None

    def read(
        self, panel: Panel, insertions: Sequence[Sequence[int]], advance: Callable[[float], None]
    ) -> Responses | None:
        """As `panel.respond`; None for a worker that has read its own prompts alone."""
        stages = _stages(panel, insertions)
        if self.mine is not None:
            for i in range(self.mine.number - 1, len(stages), self.mine.of):
                self.finished.take(stages[i], OfPrompt, partial(_one, panel, i, insertions, advance))
            return None
        there = {i: kept for i, stage in enumerate(stages) if (kept := self.finished.find(stage, OfPrompt))}
        advance(len(there) * len(insertions))
        missing = [i for i in range(len(stages)) if i not in there]
        read = panel.respond(insertions, advance, only=missing)
        first = np.empty((len(insertions), len(stages)), dtype=np.int64)
        displacement = np.empty(first.shape, dtype=np.float32)
        first[:, missing], displacement[:, missing] = read.first_token, read.displacement
        for i, kept in there.items():
            first[:, i], displacement[:, i] = kept.first_token, kept.displacement
        return Responses(first_token=first, displacement=displacement)


def _one(
    panel: Panel, i: int, insertions: Sequence[Sequence[int]], advance: Callable[[float], None]
) -> OfPrompt:
    read = panel.respond(insertions, advance, only=[i])
    return OfPrompt(
        first_token=read.first_token[:, 0].tolist(), displacement=read.displacement[:, 0].tolist()
    )


def _stages(panel: Panel, insertions: Sequence[Sequence[int]]) -> list[str]:
    """One name a prompt, of all that decides the figures beside the model."""
    every = hashlib.sha256(json.dumps([list(map(int, tokens)) for tokens in insertions]).encode())
    names = []
    for place, answer in zip(panel.slots, panel.answers, strict=True):
        one = every.copy()
        one.update(json.dumps([list(map(int, x)) for x in (place.prefix, place.suffix, answer)]).encode())
        names.append(f"answers-{one.hexdigest()[:24]}")
    return names
