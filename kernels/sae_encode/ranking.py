"""The best of a few candidates, with ties decided: plain torch, on any device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .sparse_codes import SparseCodes

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32, Int32, Int64
    from torch import Tensor


def best_entries(
    values: Float32[Tensor, "n S C"],
    features: Int32[Tensor, "n S C"],
    filled: Bool[Tensor, "n S C"],
    k: int,
    *,
    signed: bool = False,
) -> tuple[Int64[Tensor, "n k"], Float32[Tensor, "n k"]]:
    """Features and values of the k best filled slots a token, by value descending, then feature ascending.

    Every token must have at least k filled slots. Negative values come back as 0, or, `signed`, the
    best are those of the largest absolute value and keep their signs.
    """
    # One integer an entry, no two alike: value in the upper half, reversed feature number in the lower.
    # Adding 0 turns -0.0 into 0.0; flipping the lower bits makes negative floats order as integers.
    ranked = values.abs() if signed else values + 0.0
    bits = ranked.view(torch.int32)
    ordered = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).long()
    keys = (ordered << 32) | (0xFFFFFFFF - features.long())
    keys = torch.where(filled, keys, torch.iinfo(torch.int64).min)
    best, places = torch.topk(keys.flatten(1), k, dim=1)
    chosen = values.flatten(1).gather(1, places)
    return 0xFFFFFFFF - (best & 0xFFFFFFFF), chosen if signed else chosen.clamp(min=0.0)


def best_of_batch(
    tokens: Int64[Tensor, " M"],
    features: Int64[Tensor, " M"],
    values: Float32[Tensor, " M"],
    *,
    token_count: int,
    feature_count: int,
    most: int,
) -> SparseCodes:
    """The codes of the `most` largest entries of a batch; ties go to the lowest token, then the lowest feature.

    Args:
        tokens: with `features` the place of each candidate, in any order, no place twice.
        values: above 0.
    """
    if len(values) > most:
        level = values.kthvalue(len(values) - most + 1).values
        above = values > level
        ties = (values == level).nonzero()[:, 0]
        first = torch.argsort(tokens[ties] * feature_count + features[ties])[: most - int(above.sum())]
        above[ties[first]] = True
        tokens, features, values = tokens[above], features[above], values[above]
    order = torch.argsort(tokens * feature_count + features)
    row_offsets = torch.zeros(token_count + 1, dtype=torch.int64, device=values.device)
    row_offsets[1:] = torch.bincount(tokens, minlength=token_count).cumsum(dim=0)
    return SparseCodes(
        row_offsets=row_offsets,
        indices=features[order],
        values=values[order],
        feature_count=feature_count,
    )
