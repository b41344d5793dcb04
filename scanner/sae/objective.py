"""What a training step minimises, and its gradient: reconstruction at every width, and JumpReLU's thresholds.

    loss = mean over widths of  ‖x̂ of the first features - x‖² / ‖x - b_dec‖²

TopK and BatchTopK choose features and pass gradients through what they chose. JumpReLU's threshold θ has no gradient
of its own; it gets the straight-through estimate of a rectangular kernel around it, here as wide as a share of θ:

    d code / d log θ = - θ / BAND        d [fires] / d log θ = - 1 / BAND        for |pre / θ - 1| < BAND / 2

which also carries the push towards the wanted L0, SPARSITY · (L0 / k - 1)².

Source: TopK: Gao et al. 2024 (arXiv 2406.04093). BatchTopK: Bussmann et al. 2024 (arXiv 2412.06410). Matryoshka: Bussmann
et al. 2025 (arXiv 2503.17547). JumpReLU: Rajamanoharan et al. 2024 (arXiv 2407.14435), whose kernel has one width for
all features; the quadratic pull on L0 is in its section on a fixed L0.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import torch

from ...kernels.sparse_decode import encode_with_gradient, sparse_decode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float32
    from torch import Tensor

    from ...kernels.sae_encode import SparseCodes
    from .recipe import TrainingRecipe

BAND = 0.5
SPARSITY = 0.3


class Step(NamedTuple):
    """One batch.

    Attributes:
        codes: what fired, and for JumpReLU what nearly did, with the value 0.
        error: reconstruction minus x.
        gradients: of the loss, by parameter.
        energy: what the loss is divided by, ‖x - b_dec‖² over the batch.
    """

    codes: SparseCodes
    error: Float32[Tensor, "B d"]
    gradients: dict[str, Tensor]
    energy: Float32[Tensor, ""]


def gradients_of(
    parameters: Mapping[str, torch.nn.Parameter], x: Float32[Tensor, "B d"], recipe: TrainingRecipe
) -> Step:
    """Gradients of the loss on one batch, for every parameter."""
    names = ("w_enc", "b_enc", "w_dec", "b_dec")
    w_enc, b_enc, w_dec, b_dec = (parameters[name] for name in names)
    energy = (x - b_dec.detach()).square().sum()
    level = parameters["log_threshold"].detach().exp() if recipe.activation == "jumprelu" else None
    with torch.enable_grad():
        codes = encode_with_gradient(
            x, w_enc, b_enc, activation=recipe.activation, centre=b_dec,
            k=None if level is not None else recipe.k,
            threshold=None if level is None else level * (1 - BAND / 2),
        )  # fmt: skip
        pre = codes.values.detach()
        if level is not None:
            codes = replace(codes, values=codes.values * (pre > level[codes.indices]))
        error, loss = _reconstruction(codes, x, w_dec, b_dec, energy, recipe)
    wanted = [parameters[name] for name in names]
    if level is None:
        found = torch.autograd.grad(loss, wanted)
        return Step(_plain(codes), error.detach(), dict(zip(names, found, strict=True)), energy)
    *to_weights, slope = torch.autograd.grad(loss, [*wanted, codes.values])
    gradients = dict(zip(names, to_weights, strict=True))
    gradients["log_threshold"] = _threshold_gradient(codes, pre, slope, level, recipe)
    return Step(_plain(codes), error.detach(), gradients, energy)


def _reconstruction(
    codes: SparseCodes, x: Tensor, w_dec: Tensor, b_dec: Tensor, energy: Tensor, recipe: TrainingRecipe
) -> tuple[Tensor, Tensor]:
    """Error with all features, and the loss over all widths."""
    if not recipe.widths:
        error = sparse_decode(codes, w_dec, b_dec) - x
        return error, error.square().sum() / energy
    levels = (0, *recipe.widths, recipe.features)
    decoded, loss, error = b_dec.expand_as(x), x.new_zeros(()), x
    for low, high in pairwise(levels):
        decoded = decoded + sparse_decode(_between(codes, low, high), w_dec)
        error = decoded - x
        loss = loss + error.square().sum() / (energy * (len(levels) - 1))
    return error, loss


def _between(codes: SparseCodes, low: int, high: int) -> SparseCodes:
    """The entries of the features from `low` up to, not including, `high`."""
    kept = (codes.indices >= low) & (codes.indices < high)
    reached = torch.cat([kept.new_zeros(1, dtype=torch.int64), kept.cumsum(0)])
    return replace(
        codes, row_offsets=reached[codes.row_offsets], indices=codes.indices[kept], values=codes.values[kept]
    )


def _threshold_gradient(
    codes: SparseCodes, pre: Tensor, slope: Tensor, level: Tensor, recipe: TrainingRecipe
) -> Float32[Tensor, " F"]:
    """Of log θ: what the loss and the wanted L0 ask of every threshold."""
    own = level[codes.indices]
    near = pre < own * (1 + BAND / 2)
    fired = float((codes.values.detach() > 0).sum()) / codes.token_count
    pull = 2 * SPARSITY / recipe.k * (fired / recipe.k - 1)
    each = -(slope * own + pull / codes.token_count) / BAND
    return torch.zeros_like(level).index_add_(0, codes.indices[near], each[near])


def _plain(codes: SparseCodes) -> SparseCodes:
    return replace(codes, values=codes.values.detach())
