"""Next-token loss: how much a text surprises a model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .generation import LeftPadded
from .loading import LoadedModel

BATCH = 32


@torch.inference_mode()
def text_loss(loaded: LoadedModel, rows: Sequence[Sequence[int]], *, longest: int = 128) -> float:
    """Mean next-token loss in nats over all tokens of all rows, each cut at `longest` tokens."""
    total, count = 0.0, 0
    kept = [list(row[:longest]) for row in rows if len(row) > 1]
    for start in range(0, len(kept), BATCH):
        batch = LeftPadded(kept[start : start + BATCH], pad=loaded.pad, device=loaded.model.device)
        losses = token_losses(loaded, batch)
        total += sum(float(row.sum()) for row in losses)
        count += sum(len(row) for row in losses)
    return total / max(count, 1)


def token_losses(loaded: LoadedModel, batch: LeftPadded) -> tuple[Tensor, ...]:
    """The loss in nats of every token but the first, a float32 tensor a row: [T - 1]."""
    logits = loaded.model(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        position_ids=batch.position_ids,
        use_cache=False,
    ).logits[:, :-1]
    counted = batch.attention_mask[:, :-1].bool()
    losses = torch.nn.functional.cross_entropy(
        logits[counted].float(), batch.input_ids[:, 1:][counted], reduction="none"
    )
    by_row: tuple[Tensor, ...] = losses.split(counted.sum(1).tolist())
    return by_row
