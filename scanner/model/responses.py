"""How a model answers a panel of prompts when something is inserted: one forward pass, no generation.

The model's own greedy answers are taken once. A row is then prompt, insertion and own answer, teacher
forced: its logits tell at once which token the model would now start with, and how far its own answer
has been displaced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .given_answers import read_given
from .own_answers import SHORT, OwnAnswers, Reading
from .prompts import NeutralPrompt, Placement, Slot, slot


@dataclass(frozen=True, kw_only=True)
class Responses:
    """What happened to each prompt under each insertion.

    Attributes:
        first_token: [insertions, prompts] the token that the model would now answer with first.
        displacement: [insertions, prompts] the lowest log-probability (nats, ≤ 0) of a token of the
            model's own answer, minus the same without insertion.
    """

    first_token: NDArray[np.int64]
    displacement: NDArray[np.float32]


class Panel:
    """A few prompts at one placement, with the model's own answers to them.

    Args:
        reading: how much of each answer is read: its end, too, if it is short.
    """

    def __init__(
        self,
        own: OwnAnswers,
        prompts: Sequence[NeutralPrompt],
        placement: Placement,
        *,
        reading: Reading = SHORT,
    ) -> None:
        self.loaded = own.loaded
        self.prompts = tuple(prompts)
        self.placement = placement
        self.slots: list[Slot] = [slot(own.loaded, prompt, placement) for prompt in prompts]
        self.answers = own.told(prompts, reading)
        self.own_first = np.array([answer[0] for answer in self.answers])
        self._plain_worst = own.worst(prompts, reading)

    @property
    def clusters(self) -> list[str]:
        """The cluster of each prompt."""
        return [prompt.cluster for prompt in self.prompts]

    def respond(
        self,
        insertions: Sequence[Sequence[int]],
        advance: Callable[[float], None] = lambda _: None,
        *,
        only: Sequence[int] | None = None,
    ) -> Responses:
        """The responses of every prompt to every insertion (token ids).

        Args:
            only: numbers of the prompts that are read, in this order; without it all of them.
        """
        chosen = list(range(len(self.prompts)) if only is None else only)
        if not insertions or not chosen:
            empty = np.zeros((len(insertions), len(chosen)))
            return Responses(first_token=empty.astype(np.int64), displacement=empty.astype(np.float32))
        slots, answers = [self.slots[i] for i in chosen], [self.answers[i] for i in chosen]

        def read(logits: Tensor, i: int) -> NDArray[np.float64]:
            return np.stack(_read(logits, answers[i]), axis=1)

        figures = read_given(self.loaded, slots, answers, insertions, read, advance)
        worst = figures[:, :, 1].astype(np.float32)
        return Responses(
            first_token=figures[:, :, 0].astype(np.int64),
            displacement=worst - self._plain_worst[None, chosen],
        )


def _read(logits: Tensor, answer: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """First token, and worst log-probability of an answer's tokens; logits [rows, answer, V]."""
    targets = torch.tensor(answer, device=logits.device).expand(len(logits), -1)
    gained = logits.log_softmax(-1).gather(2, targets.unsqueeze(2)).squeeze(2)
    return logits[:, 0].argmax(-1).cpu().numpy(), gained.amin(1).cpu().numpy()
