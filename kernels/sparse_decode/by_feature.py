"""The entries of codes in the order of their features: what a sum over tokens runs along."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from jaxtyping import Int64
    from torch import Tensor


class ByFeature(NamedTuple):
    """The entries of codes sorted by feature, and by token within a feature.

    Feature `f` owns the sorted entries `offsets[f]` up to, not including, `offsets[f + 1]`; sorted entry `i`
    is entry `order[i]` of the codes, and belongs to `tokens[i]`.
    """

    offsets: Int64[Tensor, " F+1"]
    order: Int64[Tensor, " M"]
    tokens: Int64[Tensor, " M"]
