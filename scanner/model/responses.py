"""How a model answers a panel of prompts when something is inserted: one forward pass, no generation.

The model's own greedy answers are taken once. A row is then prompt, insertion and own answer, teacher
forced: its logits tell at once which token the model would now start with, and how far its own answer
has been displaced.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .generation import LeftPadded, continuations
from .loading import LoadedModel
from .memory import fitting
from .parallel import in_order
from .prompts import NeutralPrompt, Placement, Slot, encode, slot

ANSWER_TOKENS = 6
BATCH = 128  # insertions a forward pass


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
        self,
        loaded: LoadedModel,
        prompts: Sequence[NeutralPrompt],
        placement: Placement,
        *,
        chat: bool,
        answer_tokens: int = ANSWER_TOKENS,
    ) -> None:
        self.loaded = loaded
        self.prompts = tuple(prompts)
        self.placement = placement
        self.slots: list[Slot] = [slot(loaded, prompt, placement) for prompt in prompts]
        plain = [encode(loaded, prompt, chat=chat) for prompt in prompts]
        written = continuations(
            loaded.model,
            plain,
            new_tokens=answer_tokens,
            stop=loaded.stop,
            pad=loaded.pad,
            workers=loaded.workers,
        )
        end = next(iter(loaded.stop), loaded.pad)
        self.answers = [[*answer, *[end] * (answer_tokens - len(answer))] for answer in written]
        self.lengths = [min(len(answer) + 1, answer_tokens) for answer in written]
        self.own_first = np.array([answer[0] for answer in self.answers])
        self._plain_worst = self._plain(plain)

    @property
    def clusters(self) -> list[str]:
        """The cluster of each prompt."""
        return [prompt.cluster for prompt in self.prompts]

    def respond(
        self, insertions: Sequence[Sequence[int]], advance: Callable[[float], None] = lambda _: None
    ) -> Responses:
        """The responses of every prompt to every insertion (token ids).

        Prompts that begin alike share one pass over their beginning and the insertion.
        """
        shape = len(insertions), len(self.prompts)
        first = np.zeros(shape, dtype=np.int64)
        worst = np.zeros(shape, dtype=np.float32)
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, place in enumerate(self.slots):
            groups.setdefault(place.prefix, []).append(i)
        order = sorted(range(len(insertions)), key=lambda k: len(insertions[k]))
        size = max(1, min(BATCH, -(-len(order) // self.loaded.workers)))
        parts = [order[start : start + size] for start in range(0, len(order), size)]

        def run(chosen: Sequence[int]) -> Sequence[int]:
            for prefix, members in groups.items():
                rows = [[*prefix, *insertions[k]] for k in chosen]
                for i, (one_first, one_worst) in zip(members, self._behind(rows, members), strict=True):
                    first[chosen, i], worst[chosen, i] = one_first, one_worst
            return chosen

        for chosen, _ in zip(parts, in_order(fitting(run), parts, self.loaded.workers), strict=True):
            advance(len(chosen) * len(self.prompts))
        return Responses(first_token=first, displacement=worst - self._plain_worst[None, :])

    @torch.inference_mode()
    def _behind(
        self, rows: Sequence[Sequence[int]], members: Sequence[int]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """For each member prompt, whose beginnings are `rows`: first tokens and worst answer tokens, [rows] each."""
        model = self.loaded.model
        if not rows[0]:
            raise ValueError("a prompt needs at least one token before the candidate's end")
        head = LeftPadded(rows, pad=self.loaded.pad, device=model.device)
        cache = model(
            input_ids=head.input_ids,
            attention_mask=head.attention_mask,
            position_ids=head.position_ids,
            use_cache=True,
            logits_to_keep=1,
        ).past_key_values
        for number, i in enumerate(members):
            answer, length = self.answers[i], self.lengths[i]
            tail = torch.tensor([*self.slots[i].suffix, *answer[:-1]], device=model.device)
            steps = torch.arange(1, len(tail) + 1, device=model.device)
            logits = model(
                input_ids=tail.expand(len(rows), -1),
                attention_mask=torch.cat(
                    [head.attention_mask, torch.ones_like(tail).expand(len(rows), -1)], dim=1
                ),
                position_ids=head.position_ids[:, -1:] + steps,
                past_key_values=cache if number == len(members) - 1 else copy.deepcopy(cache),
                use_cache=True,
                logits_to_keep=len(answer),
            ).logits.float()
            yield _read(logits, answer, length)

    @torch.inference_mode()
    def _plain(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """The worst log-probability of an own answer token without any insertion: [prompts]."""
        worst = np.zeros(len(rows), dtype=np.float32)
        for i, row in enumerate(rows):
            ids = torch.tensor([[*row, *self.answers[i][:-1]]], device=self.loaded.model.device)
            logits = self.loaded.model(
                input_ids=ids, use_cache=False, logits_to_keep=len(self.answers[i])
            ).logits
            worst[i] = _read(logits.float(), self.answers[i], self.lengths[i])[1][0]
        return worst


def _read(
    logits: Tensor, answer: Sequence[int], length: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """First token and worst log-probability of the first `length` answer tokens; logits [rows, answer, V]."""
    targets = torch.tensor(answer, device=logits.device).expand(len(logits), -1)
    gained = logits.log_softmax(-1).gather(2, targets.unsqueeze(2)).squeeze(2)[:, :length]
    return logits[:, 0].argmax(-1).cpu().numpy(), gained.amin(1).cpu().numpy()
