"""The span of some directions, and states with their part in it taken out."""

from __future__ import annotations

import torch
from torch import Tensor


def orthonormal(directions: Tensor) -> Tensor:
    """An orthonormal basis [m, d] of the span of `directions` [n, d]; m ≤ n, dependent ones are dropped."""
    q: Tensor
    r: Tensor
    q, r = torch.linalg.qr(directions.float().T)
    keep = r.diagonal().abs() > 1e-6 * r.diagonal().abs().max().clamp(min=1e-12)
    return q.T[keep].contiguous()


def without_span(states: Tensor, basis: Tensor, centre: Tensor | None = None) -> Tensor:
    """States [..., d] whose part in the span of an orthonormal basis [m, d] is that of `centre` [d], or nothing."""
    away = states if centre is None else states - centre
    return states - (away @ basis.T) @ basis
