"""The three products that decoding, encoding's gradient and decoding's gradients are made of.

    combine:  out[n] = Σ weight[e] · rows[feature of e]      over the entries of token n
    collect:  out[f] = Σ weight[e] · rows[token of e]        over the entries of feature f
    dots:     out[e] = left[token of e] · right[feature of e]

N = tokens, F = features, d = width, M = entries. All accumulate in float32 and return float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from jaxtyping import Float, Float32
    from torch import Tensor

    from ..sae_encode import SparseCodes
    from .by_feature import ByFeature


class Products(Protocol):
    """What an implementation offers."""

    def combine(
        self, codes: SparseCodes, weights: Float32[Tensor, " M"], rows: Float[Tensor, "F d"]
    ) -> Float32[Tensor, "N d"]:
        """For each token, the weighted sum of its features' rows."""

    def by_feature(self, codes: SparseCodes) -> ByFeature:
        """The entries in the order in which `collect` wants them."""

    def collect(
        self, entries: ByFeature, weights: Float32[Tensor, " M"], rows: Float[Tensor, "N d"]
    ) -> Float32[Tensor, "F d"]:
        """For each feature, the weighted sum of its tokens' rows; weights in the order of the codes."""

    def dots(
        self, codes: SparseCodes, left: Float[Tensor, "N d"], right: Float[Tensor, "F d"]
    ) -> Float32[Tensor, " M"]:
        """For each entry, its token's row times its feature's row."""


def products_of(implementation: str) -> Products:
    """The products of `cpu` or `triton`."""
    if implementation == "cpu":
        from . import cpu

        return cpu
    from . import triton_kernel

    return triton_kernel
