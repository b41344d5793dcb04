"""Whether an SAE fits the activations it is used on, in the figures that people expect of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from .autoencoder import SparseAutoencoder

BLOCK_TOKENS = 8192


@dataclass(frozen=True, kw_only=True)
class SAEQuality:
    """How sparse, how faithful and how used a dictionary is on given tokens.

    The surest sign of a wrong layer or a misread format: explained variance near or below 0, or an L0
    far from the stated one.

    Attributes:
        l0: mean number of features that are on at a token.
        explained_variance: 1 - Σ‖x - x̂‖² / Σ‖x - mean x‖², both sums over all tokens and dimensions;
            1 is perfect, 0 is as good as the mean, below 0 is worse. NaN where all tokens are alike.
        live_share: share of the features that fired on at least one token, in [0, 1]. It grows with
            the number of tokens.
    """

    l0: float
    explained_variance: float
    live_share: float


@torch.no_grad()
def measure_quality(sae: SparseAutoencoder, x: Float[Tensor, "N d"]) -> SAEQuality:
    """L0, explained variance and live share of an SAE on activations.

    Raises:
        ValueError: no tokens, tokens of another width than the SAE's, or a transcoder, which does not
            reconstruct what it reads.
    """
    if sae.is_transcoder:
        raise ValueError(f"quality is that of an autoencoder, got a transcoder to {sae.hook_out}")
    if x.ndim != 2 or x.shape[1] != sae.width or len(x) == 0:
        raise ValueError(f"x must be [N, d] with N >= 1, d = {sae.width}, got shape {tuple(x.shape)}")
    mean = x.mean(dim=0, dtype=torch.float64)
    fired = torch.zeros(sae.feature_count, dtype=torch.bool, device=x.device)
    firing = 0
    residual = total = 0.0
    for start in range(0, len(x), BLOCK_TOKENS):
        block = x[start : start + BLOCK_TOKENS]
        codes = sae.encode(block)
        on = codes.values != 0  # abstopk has negative codes
        fired[codes.indices[on]] = True
        firing += int(on.sum())
        left = block.double() - sae.reconstruct(block, codes).double()
        residual += float(left.square().sum())
        total += float((block.double() - mean).square().sum())
    return SAEQuality(
        l0=firing / len(x),
        explained_variance=1.0 - residual / total if total > 0 else float("nan"),
        live_share=float(fired.float().mean()),
    )
