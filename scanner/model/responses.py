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

from .generation import LeftPadded, continuations
from .loading import LoadedModel
from .prompts import NeutralPrompt, Placement, Slot, encode, slot

ANSWER_TOKENS = 6
BATCH_TOKENS = 16_384


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
    """A few prompts at one placement, with the model's own answers to them."""

    def __init__(
        self, loaded: LoadedModel, prompts: Sequence[NeutralPrompt], placement: Placement, *, chat: bool
    ) -> None:
        self.loaded = loaded
        self.prompts = tuple(prompts)
        self.placement = placement
        self.slots: list[Slot] = [slot(loaded, prompt, placement) for prompt in prompts]
        plain = [encode(loaded, prompt, chat=chat) for prompt in prompts]
        written = continuations(
            loaded.model, plain, new_tokens=ANSWER_TOKENS, stop=loaded.stop, pad=loaded.pad
        )
        end = next(iter(loaded.stop), loaded.pad)
        self.answers = [[*answer, *[end] * (ANSWER_TOKENS - len(answer))] for answer in written]
        self.lengths = [min(len(answer) + 1, ANSWER_TOKENS) for answer in written]
        self.own_first = np.array([answer[0] for answer in self.answers])
        self._plain_worst = self._run([(i, row) for i, row in enumerate(plain)])[1]

    @property
    def clusters(self) -> list[str]:
        """The cluster of each prompt."""
        return [prompt.cluster for prompt in self.prompts]

    def respond(
        self, insertions: Sequence[Sequence[int]], advance: Callable[[float], None] = lambda _: None
    ) -> Responses:
        """The responses of every prompt to every insertion (token ids)."""
        width = len(self.prompts)
        rows = [(i, self.slots[i].filled(bag)) for bag in insertions for i in range(width)]
        first, worst = self._run(rows, advance)
        worst = worst.reshape(len(insertions), width) - self._plain_worst[None, :]
        return Responses(first_token=first.reshape(len(insertions), width), displacement=worst)

    @torch.inference_mode()
    def _run(
        self, rows: Sequence[tuple[int, list[int]]], advance: Callable[[float], None] = lambda _: None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        first = np.zeros(len(rows), dtype=np.int64)
        worst = np.zeros(len(rows), dtype=np.float32)
        order = sorted(range(len(rows)), key=lambda i: len(rows[i][1]))
        start = 0
        while start < len(order):
            longest = len(rows[order[min(start + 256, len(order)) - 1]][1]) + ANSWER_TOKENS
            chosen = order[start : start + max(1, min(256, BATCH_TOKENS // longest))]
            start += len(chosen)
            answers = torch.tensor(
                [self.answers[rows[i][0]] for i in chosen], device=self.loaded.model.device
            )
            batch = LeftPadded(
                [[*rows[i][1], *self.answers[rows[i][0]][:-1]] for i in chosen],
                pad=self.loaded.pad,
                device=self.loaded.model.device,
            )
            logits = self.loaded.model(
                input_ids=batch.input_ids,
                attention_mask=batch.attention_mask,
                position_ids=batch.position_ids,
                use_cache=False,
                logits_to_keep=ANSWER_TOKENS,
            ).logits.float()
            gained = logits.log_softmax(-1).gather(2, answers.unsqueeze(2)).squeeze(2)
            lengths = torch.tensor([self.lengths[rows[i][0]] for i in chosen], device=gained.device)
            outside = torch.arange(ANSWER_TOKENS, device=gained.device)[None, :] >= lengths[:, None]
            first[chosen] = logits[:, 0].argmax(-1).cpu().numpy()
            worst[chosen] = gained.masked_fill(outside, 0.0).amin(1).cpu().numpy()
            advance(len(chosen))
        return first, worst
