"""The k best of a few candidates a token, with ties decided: plain torch, on any device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32, Int32, Int64
    from torch import Tensor


def best_entries(
    values: Float32[Tensor, "n S C"], features: Int32[Tensor, "n S C"], filled: Bool[Tensor, "n S C"], k: int
) -> tuple[Int64[Tensor, "n k"], Float32[Tensor, "n k"]]:
    """Features and values of the k best filled slots a token, by value descending, then feature ascending.

    Every token must have at least k filled slots. Negative values come back as 0.
    """
    # One integer an entry, no two alike: value in the upper half, reversed feature number in the lower.
    # Adding 0 turns -0.0 into 0.0; flipping the lower bits makes negative floats order as integers.
    bits = (values + 0.0).view(torch.int32)
    ordered = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).long()
    keys = (ordered << 32) | (0xFFFFFFFF - features.long())
    keys = torch.where(filled, keys, torch.iinfo(torch.int64).min)
    best = torch.topk(keys.flatten(1), k, dim=1).values
    upper = (best >> 32).int()
    best_values = (upper ^ ((upper >> 31) & 0x7FFFFFFF)).view(torch.float32)
    return 0xFFFFFFFF - (best & 0xFFFFFFFF), best_values.clamp(min=0.0)
