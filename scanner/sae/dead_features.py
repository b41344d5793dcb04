"""Keeping every feature in use: who has not fired for a while, and a second chance for those.

AuxK: the features that stopped firing are asked to explain what the others left over. Only they learn
from it, so the living ones are not disturbed. Computed on a part of each batch, since it is a nudge.

Source: Gao et al. 2024 (arXiv 2406.04093), section 2.4 and appendix A.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .sparse_products import CodeBatch, largest

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32, Int64
    from torch import Tensor

# The paper takes d / 2; a cap costs less, and no difference was seen at d = 128 and 192.
AUXILIARY_FEATURES = 32


class FiringWatch:
    """How many training steps ago each feature last fired."""

    def __init__(self, feature_count: int, patience: int, device: torch.device) -> None:
        """Call a feature dead after `patience` steps of silence."""
        self.silent_steps = torch.zeros(feature_count, dtype=torch.int64, device=device)
        self._patience = patience

    def saw(self, fired: Bool[Tensor, " F"]) -> None:
        """One more step went by, in which these features fired."""
        self.silent_steps += 1
        self.silent_steps[fired] = 0

    def dead(self) -> Int64[Tensor, " D"]:
        """The features that have been silent for too long."""
        return (self.silent_steps >= self._patience).nonzero().flatten()


def add_auxiliary_gradients(
    weights: dict[str, Float32[Tensor, "..."]],
    gradients: dict[str, Float32[Tensor, "..."]],
    x: Float32[Tensor, "N d"],
    residual: Float32[Tensor, "N d"],
    dead: Int64[Tensor, " D"],
    weight: float,
) -> None:
    """Add what the dead features would learn from explaining the residual.

    The loss is `weight · mean ‖residual - ê‖² / mean ‖residual‖²`, ê the reconstruction from the
    most active dead features, at most `AUXILIARY_FEATURES` a token.

    Args:
        weights: `w_enc`, `b_enc` [F], `w_dec` of the SAE in training.
        gradients: the same keys; added to in place, on the dead rows alone.
        x: encoder input (b_dec already subtracted).
        residual: x minus its reconstruction.
        dead: the features to revive.
        weight: share of the loss beside the main one.
    """
    k = min(AUXILIARY_FEATURES, max(1, x.shape[1] // 2), len(dead))
    values, columns = largest(torch.addmm(weights["b_enc"][dead], x, weights["w_enc"][dead].T), k)
    codes = CodeBatch(values.clamp(min=0.0), columns, len(dead))
    directions = weights["w_dec"][dead]
    error = codes.combine(directions) - residual
    error *= 2.0 * weight / residual.square().sum().clamp(min=1e-12)
    slopes = (error @ directions.T).gather(1, columns) * (values > 0)
    gates = CodeBatch(slopes, columns, len(dead))
    gradients["w_dec"].index_add_(0, dead, codes.collect(error))
    gradients["w_enc"].index_add_(0, dead, gates.collect(x))
    gradients["b_enc"].index_add_(0, dead, gates.collect(torch.ones_like(x[:, :1])).flatten())
