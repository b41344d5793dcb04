"""The definition of SAE encoding, in plain torch: slow, obvious, the whole [N, F] matrix at once.

    pre   = (x - centre) @ w_encᵀ + b_enc              in float32, x - centre rounded to x's dtype
    ReLU, JumpReLU:  code = pre where pre > max(threshold, 0), else 0
    TopK:            code = max(pre, 0) for the k largest pre (ties: the lowest feature), else 0

Source: TopK, Gao et al. 2024 (arXiv 2406.04093); JumpReLU, Rajamanoharan et al. 2024 (arXiv 2407.14435).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .sparse_codes import SparseCodes

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from .arguments import Encoder


def encode(x: Float[Tensor, "N d"], encoder: Encoder) -> SparseCodes:
    """Codes by definition; see the module text."""
    pre = encoder.centred(x).float() @ encoder.w_enc.float().T + encoder.b_enc
    if encoder.k is not None:
        # A stable sort leaves equal values in feature order, which torch.topk does not promise.
        ranked = torch.sort(pre, dim=1, descending=True, stable=True)
        values = ranked.values[:, : encoder.k].clamp(min=0.0)
        return SparseCodes(
            row_offsets=torch.arange(len(x) + 1, device=x.device) * encoder.k,
            indices=ranked.indices[:, : encoder.k].flatten(),
            values=values.flatten(),
            feature_count=encoder.feature_count,
        )
    firing = pre > encoder.firing_floor
    row_offsets = torch.zeros(len(x) + 1, dtype=torch.int64, device=x.device)
    row_offsets[1:] = firing.sum(dim=1).cumsum(dim=0)
    return SparseCodes(
        row_offsets=row_offsets,
        indices=firing.nonzero()[:, 1],
        values=pre[firing],
        feature_count=encoder.feature_count,
    )
