"""What a model, as it runs now, makes of answers that are given: log-probabilities, token by token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..model.generation import LeftPadded
from ..model.loading import LoadedModel

BATCH = 32


class Given(NamedTuple):
    """One answer: log-probabilities of the whole vocabulary where each token is due [T, V], and of that token [T]."""

    logs: Tensor
    gained: Tensor


def answer_logs(
    loaded: LoadedModel, rows: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]
) -> Iterator[Given]:
    """For each prompt with a non-empty answer, both as token ids, what the model makes of it."""
    pairs = [(list(row), list(answer)) for row, answer in zip(rows, answers, strict=True) if answer]
    for start in range(0, len(pairs), BATCH):
        part = pairs[start : start + BATCH]
        longest = max(len(answer) for _, answer in part)
        padded = LeftPadded([[*r, *a] for r, a in part], pad=loaded.pad, device=loaded.model.device)
        with torch.inference_mode():
            logs = loaded.model(
                input_ids=padded.input_ids, attention_mask=padded.attention_mask,
                position_ids=padded.position_ids, use_cache=False, logits_to_keep=longest + 1,
            ).logits[:, :-1].float().log_softmax(-1)  # fmt: skip
            gained = logs.gather(2, padded.input_ids[:, -longest:].unsqueeze(2)).squeeze(2)
        for i, (_, answer) in enumerate(part):
            yield Given(logs=logs[i, -len(answer) :], gained=gained[i, -len(answer) :])
