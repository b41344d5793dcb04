"""The fixed bins that activations are counted in, and the AUROC that follows from the counts.

Bins are quarters of octaves from 2^-8 to 2^8, read off the bits of a float32, so that no range has to be
known beforehand and every implementation agrees to the bit. Smaller and larger activations count in the
first and the last bin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from jaxtyping import Float32, Float64, Int64
    from torch import Tensor

BINS = 64
PER_OCTAVE = 4
SHIFT = 21  # bits of a float32 below its exponent and the first two bits of its mantissa
FIRST = (127 - 8) * PER_OCTAVE  # those upper bits of 2^-8


def bin_of(values: Float32[Tensor, " M"]) -> Int64[Tensor, " M"]:
    """The bin of each activation above 0, in [0, 64)."""
    return ((values.view(torch.int32) >> SHIFT) - FIRST).clamp(0, BINS - 1).long()


def bin_edges() -> Float32[Tensor, " 65"]:
    """Lower edges of the bins, and the upper edge of the last: 2^-8 to 2^8."""
    return ((torch.arange(BINS + 1, dtype=torch.int32) + FIRST) << SHIFT).view(torch.float32)


def auroc_of_counts(positive: Int64[Tensor, "F B"], negative: Int64[Tensor, "F B"]) -> Float64[Tensor, " F"]:
    """Chance that a positive token lies in a higher bin than a negative one, ties counting half.

    Args:
        positive: tokens per bin, the bins ascending.
        negative: the same for the other group.

    Returns:
        AUROC in [0, 1]; NaN where a group has no tokens. Exact but for pairs in one bin.

    Source: the Mann-Whitney statistic on grouped data.
    """
    high, low = positive.double(), negative.double()
    below = low.cumsum(dim=1) - low
    wins = (high * (below + 0.5 * low)).sum(dim=1)
    return wins / (high.sum(dim=1) * low.sum(dim=1))
