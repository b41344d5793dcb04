"""Statistics of codes by sorting: for devices where scattered additions would come in any order.

Entries are sorted by (group, feature) and each run is reduced as a whole, in token order: deterministic,
no atomics. Sums are float64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .histogram import BINS, bin_of
from .statistics import FeatureStats

if TYPE_CHECKING:
    from jaxtyping import Int64
    from torch import Tensor

    from ..sae_encode.sparse_codes import SparseCodes


def stats_of_codes(
    codes: SparseCodes,
    groups: Int64[Tensor, " N"],
    group_count: int,
    token_offset: int,
    *,
    histogram: bool = False,
) -> FeatureStats:
    """Count codes on the device that they are on."""
    stats = FeatureStats.empty(
        group_count, codes.feature_count, device=codes.values.device, histogram=histogram
    )
    one_hot = groups[:, None] == torch.arange(group_count, device=groups.device)
    stats.token_count.copy_(one_hot.sum(dim=0))
    firing = codes.values != 0
    tokens, values = codes.entry_tokens()[firing], codes.values[firing]
    if len(values) == 0:
        return stats
    keys = groups[tokens] * codes.feature_count + codes.indices[firing]

    sizes = values.abs()
    if stats.histogram is not None:
        places = keys * BINS + bin_of(sizes)
        stats.histogram.view(-1).scatter_add_(0, places, torch.ones_like(places))

    # Strongest first, then by key with the order kept: a run starts with its maximum, and the stable sort
    # leaves the lowest token first among equals.
    order = torch.sort(sizes, descending=True, stable=True).indices
    order = order[torch.sort(keys[order], stable=True).indices]
    runs, lengths = torch.unique_consecutive(keys[order], return_counts=True)
    starts = order[lengths.cumsum(dim=0) - lengths]
    stats.firing_count.view(-1)[runs] = lengths
    stats.maximum.view(-1)[runs] = sizes[starts]
    stats.maximum_token.view(-1)[runs] = tokens[starts] + token_offset

    wide = values[torch.sort(keys, stable=True).indices].double()
    stats.value_sum.view(-1)[runs] = torch.segment_reduce(wide, "sum", lengths=lengths)
    stats.square_sum.view(-1)[runs] = torch.segment_reduce(wide.square(), "sum", lengths=lengths)
    return stats
