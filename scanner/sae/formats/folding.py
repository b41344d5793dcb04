"""Algebra that brings what a format computes into one encoder row and one threshold a feature."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from jaxtyping import Float32
    from torch import Tensor


class Encoder(NamedTuple):
    """An encoder with a threshold that each pre-activation must exceed."""

    w_enc: Float32[Tensor, "F d"]
    b_enc: Float32[Tensor, " F"]
    threshold: Float32[Tensor, " F"]


def fold_gate(
    w_enc: Float32[Tensor, "F d"],
    b_gate: Float32[Tensor, " F"],
    b_mag: Float32[Tensor, " F"],
    r_mag: Float32[Tensor, " F"],
) -> Encoder:
    """A gated encoder as a JumpReLU: two encoders that share their directions are one with a threshold.

    With u = w_enc · x the gate is open where `u + b_gate > 0`, and the magnitude is
    `m = exp(r_mag) · u + b_mag`. Solved for m, the gate is open where `m > b_mag - exp(r_mag) · b_gate`.

    Source: Rajamanoharan et al. 2024 (arXiv 2404.16014), section 3.2 and appendix on the equivalence.
    """
    scale = r_mag.double().exp()
    return Encoder(
        w_enc=(scale[:, None] * w_enc).float(),
        b_enc=b_mag,
        threshold=(b_mag.double() - scale * b_gate.double()).float(),
    )


def decoder_norms(w_dec: Float32[Tensor, "F d"]) -> Float32[Tensor, " F"]:
    """The length of each feature's direction, never 0."""
    norms: Tensor = torch.linalg.vector_norm(w_dec, dim=1)
    return norms.clamp(min=torch.finfo(torch.float32).tiny)
