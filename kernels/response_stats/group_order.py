"""Rows in the order of their groups.

R = rows, G = groups, P = groups that have rows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch

from .statistics import NO_TOKEN

if TYPE_CHECKING:
    from jaxtyping import Float32, Int64
    from torch import Tensor

    from .statistics import ResponseStats


class GroupOrder(NamedTuple):
    """Groups that have rows, ascending; group `present[i]` owns `order[offsets[i] : offsets[i + 1]]`."""

    order: Int64[Tensor, " R"]
    present: Int64[Tensor, " P"]
    offsets: Int64[Tensor, " P+1"]

    @classmethod
    def of(cls, groups: Int64[Tensor, " R"]) -> GroupOrder:
        """Sorted by group, and by row within a group."""
        ordered, order = torch.sort(groups, stable=True)
        present, sizes = torch.unique_consecutive(ordered, return_counts=True)
        offsets = torch.zeros(len(present) + 1, dtype=torch.int64, device=groups.device)
        offsets[1:] = sizes.cumsum(dim=0)
        return cls(order, present, offsets)

    def added(
        self,
        stats: ResponseStats,
        group_count: int,
        gain: Float32[Tensor, " P"],
        token: Int64[Tensor, " P"],
    ) -> ResponseStats:
        """The statistics with those of the groups, absent ones included."""
        row_count = torch.zeros(group_count, dtype=torch.int64, device=gain.device)
        gains = torch.full((group_count,), torch.nan, dtype=torch.float32, device=gain.device)
        tokens = torch.full_like(row_count, NO_TOKEN)
        row_count[self.present] = self.offsets.diff()
        gains[self.present] = gain
        tokens[self.present] = token
        return replace(stats, row_count=row_count, gain=gains, gain_token=tokens)
