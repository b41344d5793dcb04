"""The definition of the feature statistics, in plain torch: every code written out, group by group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .histogram import BINS, bin_of
from .statistics import NO_TOKEN, FeatureStats

if TYPE_CHECKING:
    from jaxtyping import Float, Int64
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
    """Statistics by definition; see `FeatureStats`."""
    return _stats_of_matrix(codes.dense(), groups, group_count, token_offset, histogram)


def _stats_of_matrix(
    matrix: Float[Tensor, "N F"],
    groups: Int64[Tensor, " N"],
    group_count: int,
    token_offset: int,
    histogram: bool,
) -> FeatureStats:
    stats = FeatureStats.empty(group_count, matrix.shape[1], device=matrix.device, histogram=histogram)
    for group in range(group_count):
        tokens = (groups == group).nonzero()[:, 0]
        stats.token_count[group] = len(tokens)
        if len(tokens) == 0:
            continue
        values = matrix[tokens]
        stats.firing_count[group] = (values != 0).sum(dim=0)
        stats.value_sum[group] = values.double().sum(dim=0)
        stats.square_sum[group] = values.double().square().sum(dim=0)
        if stats.histogram is not None:
            for feature in range(matrix.shape[1]):
                size = values[:, feature].abs()
                stats.histogram[group, feature] = torch.bincount(bin_of(size[size > 0]), minlength=BINS)
        maximum = values.abs().amax(dim=0)
        stats.maximum[group] = maximum
        # The first token, in ascending order, that reaches the maximum.
        first = (values.abs() == maximum).to(torch.int8).argmax(dim=0)
        stats.maximum_token[group] = torch.where(maximum > 0, tokens[first] + token_offset, NO_TOKEN)
    return stats
