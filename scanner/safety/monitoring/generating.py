"""Generation in batches through Hugging Face's own `generate`, as a server would call it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ...model.generation import LeftPadded
from ...model.loading import LoadedModel
from ...model.memory import fitting

BATCH = 64


@torch.inference_mode()
def generated(
    loaded: LoadedModel,
    rows: Sequence[Sequence[int]],
    *,
    new_tokens: int,
    at_least: int = 0,
    batch: int = BATCH,
    advance: Callable[[float], None] = lambda _: None,
) -> list[list[int]]:
    """What the model writes greedily after each row of tokens, in the order given, without the stop token.

    Args:
        at_least: tokens that it must write before it may stop.
    """

    def write(part: Sequence[Sequence[int]]) -> list[list[int]]:
        padded = LeftPadded(part, pad=loaded.pad, device=loaded.model.device)
        model: Any = loaded.model  # its stubs take `generate` for a tensor
        table = model.generate(
            input_ids=padded.input_ids,
            attention_mask=padded.attention_mask,
            max_new_tokens=new_tokens,
            min_new_tokens=at_least or None,
            do_sample=False,
            pad_token_id=loaded.pad,
            eos_token_id=sorted(loaded.stop) or None,
        )[:, padded.input_ids.shape[1] :].tolist()
        return [_until(row, loaded.stop) for row in table]

    answers: list[list[int]] = []
    for start in range(0, len(rows), batch):
        answers += fitting(write)(rows[start : start + batch])
        advance(min(batch, len(rows) - start))
    return answers


def _until(row: list[int], stop: frozenset[int]) -> list[int]:
    end = next((i for i, token in enumerate(row) if token in stop), len(row))
    return row[:end]
