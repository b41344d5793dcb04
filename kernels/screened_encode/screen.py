"""The 8-bit shadow of an encoder, and the bound on what it gets wrong.

    x' = x R,  w' = w R                     R a random rotation: w·x = w'·x'
    x' = x̂ + e_x,  w' = ŵ + e_w             x̂ = s_x q_x,  ŵ = s_w q_w,  q int8 in [-127, 127]
    w·x = x̂·ŵ + e_x·w' + x̂·e_w             the first term is an int8 product, exact in int32

A rotation spreads outlier dimensions but not their energy, so the few columns of x that are far larger than
the others are split off first and multiplied in float32; x' is then the rotation of the rest.

Behind a random rotation the two error terms are sums of d terms of either sign, of standard deviation at
most about `σ = sqrt((|e_x|²|w'|² + |x̂|²|e_w|²) / d)`; all norms are known. Entries are kept within
SIGMAS·σ. That is a statistical bound, not a rigorous one (which would keep thousands); every run states
the largest error in units of σ among the entries that it rescored, and is refused beyond the bound.

Source: ours; rotations against outliers as in QuaRot (arXiv 2404.00456).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int8, Int64
    from torch import Tensor

    from ..sae_encode.arguments import Encoder

SIGMAS = 6.0
LARGEST = 127
OUTLYING = 6.0  # times the median root mean square of a column
SPLIT = 16  # columns that are split off, at most
LOOKED_AT = 4_096  # tokens from which outlying columns are told


class Quantised(NamedTuple):
    """Rows in 8 bit: `rows ≈ integers · scale`, the norm of what they stand for and of what was lost."""

    integers: Int8[Tensor, "n d"]
    scale: Float32[Tensor, " n"]
    norm: Float32[Tensor, " n"]
    error: Float32[Tensor, " n"]


class Activations(NamedTuple):
    """The same of activations, and their columns that were split off."""

    integers: Int8[Tensor, "n d"]
    scale: Float32[Tensor, " n"]
    norm: Float32[Tensor, " n"]
    error: Float32[Tensor, " n"]
    apart: Float32[Tensor, "n o"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Screen:
    """An encoder, and what screens its activations.

    Attributes:
        encoder: the exact one, for rescoring.
        rotation: [d, d], orthogonal.
        weights: the rotated encoder rows in 8 bit, scaled by `feature_scale` where there is one.
        norm: of the rotated rows before that loss.
        bias: float32, scaled alike.
    """

    encoder: Encoder
    rotation: Float32[Tensor, "d d"]
    weights: Quantised
    norm: Float32[Tensor, " F"]
    bias: Float32[Tensor, " F"]

    def outlying(self, x: Float[Tensor, "N d"]) -> Int64[Tensor, " o"]:
        """The columns that are split off: at most SPLIT, none where all are about equally large."""
        sample = self.encoder.prepared(x[:: max(1, len(x) // LOOKED_AT)]).float()
        if len(sample) == 0:
            return torch.zeros(0, dtype=torch.int64, device=x.device)
        size = sample.square().mean(dim=0).sqrt()
        order = size.argsort(descending=True)[:SPLIT]
        return order[size[order] > OUTLYING * size.median()].sort().values

    def quantise(self, x: Float[Tensor, "n d"], outlying: Int64[Tensor, " o"]) -> Activations:
        """Activations, prepared as the encoder prepares them: the outlying columns, the rest rotated in 8 bit."""
        rows = self.encoder.prepared(x).float()
        apart = rows[:, outlying]
        if len(outlying):
            rows = rows.index_fill(1, outlying, 0.0)
        return Activations(*quantise(rows @ self.rotation), apart)

    def apart(self, outlying: Int64[Tensor, " o"]) -> Float32[Tensor, "F o"]:
        """The outlying columns of the encoder, scaled by `feature_scale` where there is one."""
        columns: Tensor = self.encoder.w_enc[:, outlying].float()
        scale = self.encoder.feature_scale
        return columns if scale is None else columns * scale[:, None]

    def sigma(self, x: Activations, features: slice) -> Float32[Tensor, "n f"]:
        """Standard deviation of the screen's error for each token and feature, in pre-activation units."""
        own = x.error[:, None] * self.norm[features][None]
        lost = x.norm[:, None] * self.weights.error[features][None]
        sigma: Tensor = torch.hypot(own, lost) / float(self.rotation.shape[0]) ** 0.5
        return sigma

    def sigma_of(self, x: Activations, tokens: Tensor, features: Tensor) -> Float32[Tensor, " M"]:
        """The same for single entries."""
        own = x.error[tokens] * self.norm[features]
        lost = x.norm[tokens] * self.weights.error[features]
        sigma: Tensor = torch.hypot(own, lost) / float(self.rotation.shape[0]) ** 0.5
        return sigma


def quantised_encoder(encoder: Encoder, seed: int) -> Screen:
    """The screen of an encoder."""
    weights = encoder.w_enc.float()
    width = weights.shape[1]
    generator = torch.Generator().manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(width, width, generator=generator)).Q.to(weights.device)
    rotated = weights @ rotation
    bias = encoder.b_enc
    if encoder.feature_scale is not None:
        rotated *= encoder.feature_scale[:, None]
        bias = bias * encoder.feature_scale
    return Screen(
        encoder=encoder, rotation=rotation, weights=quantise(rotated), norm=rotated.norm(dim=1), bias=bias
    )


def quantise(rows: Float32[Tensor, "n d"]) -> Quantised:
    """Rows in 8 bit with one scale a row, rounded to nearest."""
    scale = (rows.abs().amax(dim=1) / LARGEST).clamp(min=torch.finfo(torch.float32).tiny)
    integers = (rows / scale[:, None]).round().clamp(-LARGEST, LARGEST)
    kept = integers * scale[:, None]
    return Quantised(integers.to(torch.int8), scale, kept.norm(dim=1), (rows - kept).norm(dim=1))
