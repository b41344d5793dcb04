"""Sampling where every row has its own decoding settings, all in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..model.loading import LoadedModel
from .cached_rows import CachedRows


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How the next token is drawn.

    Attributes:
        temperature: 0 takes the likeliest token.
        top_k: draw among so many of the likeliest; 0 among all.
        top_p: draw among the likeliest that together have this probability.
    """

    temperature: float
    top_k: int = 0
    top_p: float = 1.0


@torch.inference_mode()
def sampled(
    loaded: LoadedModel,
    prompts: Sequence[Sequence[int]],
    decodings: Sequence[Decoding],
    *,
    new_tokens: int,
    seed: int,
) -> list[list[int]]:
    """What the model writes after each prompt with the decoding at the same place, stop tokens and all."""
    rows = CachedRows(loaded, prompts)
    generator = torch.Generator().manual_seed(seed)
    columns: list[Tensor] = []
    for step in range(new_tokens):
        if step:
            rows.append(columns[-1].to(rows.logits.device))
        weights = _weights(rows.logits.cpu(), decodings)
        columns.append(torch.multinomial(weights, 1, generator=generator).squeeze(1))
    written: list[list[int]] = torch.stack(columns, dim=1).tolist()
    return written


def _weights(logits: Tensor, decodings: Sequence[Decoding]) -> Tensor:
    """The probabilities from which the next tokens are drawn, [R, V]."""
    temperature = torch.tensor([max(d.temperature, 1e-4) for d in decodings]).unsqueeze(1)
    top_p = torch.tensor([d.top_p for d in decodings]).unsqueeze(1)
    vocabulary = logits.shape[1]
    top_k = torch.tensor([d.top_k or vocabulary for d in decodings]).unsqueeze(1)
    ordered, order = torch.softmax(logits / temperature, dim=-1).sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered
    ordered = ordered.masked_fill((before >= top_p) | (torch.arange(vocabulary) >= top_k), 0.0)
    return torch.zeros_like(ordered).scatter(1, order, ordered)
