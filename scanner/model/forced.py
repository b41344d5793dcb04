"""How far a model goes along with an answer that is given, token by token: one pass, no generation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from .generation import LeftPadded
from .loading import LoadedModel
from .memory import fitting


class Forced(NamedTuple):
    """One entry a row.

    Attributes:
        first_choice: whether each token of the answer is the model's own first choice.
        worst: the lowest probability, in (0, 1], that the model gives a token of the answer.
    """

    first_choice: NDArray[np.bool_]
    worst: NDArray[np.float64]


@torch.inference_mode()
def forced(
    loaded: LoadedModel, rows: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], *, batch: int = 128
) -> Forced:
    """What a model makes of given answers (token ids, at least one each) to prompts (token ids)."""
    first = np.ones(len(rows), dtype=bool)
    worst = np.ones(len(rows))
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]) + len(answers[i]))

    def read(chosen: Sequence[int]) -> Sequence[int]:
        longest = max(len(answers[i]) for i in chosen)
        # Padded on the left, answers end together: the last positions hold all of them.
        padded = LeftPadded(
            [[*rows[i], *answers[i]] for i in chosen], pad=loaded.pad, device=loaded.model.device
        )
        logits = loaded.model(
            input_ids=padded.input_ids,
            attention_mask=padded.attention_mask,
            position_ids=padded.position_ids,
            use_cache=False,
            logits_to_keep=longest + 1,
        ).logits[:, :-1]
        targets = padded.input_ids[:, -longest:]
        odds = logits.gather(2, targets.unsqueeze(2)).squeeze(2).float() - logits.float().logsumexp(-1)
        gained = odds.exp().cpu().numpy()
        agrees = (logits.argmax(-1) == targets).cpu().numpy()
        for row, i in enumerate(chosen):
            length = len(answers[i])
            first[i], worst[i] = agrees[row, -length:].all(), gained[row, -length:].min()
        return chosen

    for start in range(0, len(order), batch):
        fitting(read)(order[start : start + batch])
    return Forced(first_choice=first, worst=worst)
