"""The definition of SAE encoding, in plain torch: slow, obvious, the whole [N, F] matrix at once.

    pre   = ((normalised(x) - centre) @ w_encᵀ + b_enc) · feature_scale      in float32, what is
            multiplied rounded to x's dtype
    ReLU, JumpReLU:  code = pre where pre > max(threshold, 0), else 0
    TopK:            code = max(pre, 0) for the k largest pre (ties: the lowest feature), else 0
    AbsTopK:         code = pre for the k largest |pre| (ties: the lowest feature), else 0
    BatchTopK:       code = pre for the N·k largest pre > 0 of all tokens (ties: the lowest token,
                     then the lowest feature), else 0

Source: TopK, Gao et al. 2024 (arXiv 2406.04093); JumpReLU, Rajamanoharan et al. 2024 (arXiv 2407.14435);
BatchTopK, Bussmann et al. 2024 (arXiv 2412.06410); AbsTopK, Zhu et al. 2025 (arXiv 2510.00404).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .sparse_codes import SparseCodes

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

    from .arguments import Encoder


def encode(x: Float[Tensor, "N d"], encoder: Encoder) -> SparseCodes:
    """Codes by definition; see the module text."""
    pre = pre_activations(x, encoder)
    if encoder.k is None:
        return _where(pre > encoder.firing_floor, pre)
    # A stable sort leaves equal values in feature order, which torch.topk does not promise.
    if encoder.activation == "batchtopk":
        order = torch.sort(pre.flatten(), descending=True, stable=True).indices[: len(x) * encoder.k]
        kept = torch.zeros(pre.numel(), dtype=torch.bool, device=x.device)
        kept[order] = True
        return _where(kept.view(pre.shape) & (pre > 0), pre)
    signed = encoder.activation == "abstopk"
    size = pre.abs() if signed else pre
    chosen = torch.sort(size, dim=1, descending=True, stable=True).indices[:, : encoder.k]
    values = pre.gather(1, chosen)
    return SparseCodes(
        row_offsets=torch.arange(len(x) + 1, device=x.device) * encoder.k,
        indices=chosen.flatten(),
        values=(values if signed else values.clamp(min=0.0)).flatten(),
        feature_count=encoder.feature_count,
    )


def pre_activations(x: Float[Tensor, "N d"], encoder: Encoder) -> Float[Tensor, "N F"]:
    """What the features are chosen by, all of it."""
    pre = encoder.prepared(x).float() @ encoder.w_enc.float().T + encoder.b_enc
    return pre if encoder.feature_scale is None else pre * encoder.feature_scale


def _where(kept: Bool[Tensor, "N F"], pre: Float[Tensor, "N F"]) -> SparseCodes:
    row_offsets = torch.zeros(len(pre) + 1, dtype=torch.int64, device=pre.device)
    row_offsets[1:] = kept.sum(dim=1).cumsum(dim=0)
    return SparseCodes(
        row_offsets=row_offsets,
        indices=kept.nonzero()[:, 1],
        values=pre[kept],
        feature_count=pre.shape[1],
    )
