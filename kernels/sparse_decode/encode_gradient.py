"""Encoding as a step of autograd: the forward is `sae_encode`, the backward touches firing entries alone.

With z the tokens as the encoder multiplies them (normalised, minus the centre) and s the feature scale:

    d z[n]      = Σ s · d value[e] · w_enc[feature of e]         over the firing entries of token n
    d w_enc[f]  = Σ s · d value[e] · z[token of e]               over the firing entries of feature f
    d b_enc[f]  = Σ s · d value[e]                               d s[f] = Σ d value[e] · value[e] / s

An entry that does not fire (a TopK entry set to 0) passes nothing on. Which features are chosen is taken as
given, as everywhere in SAE training. From z back to x and the centre runs torch's own autograd, in float32: that z
is rounded to the dtype of x counts as the identity.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

from ..sae_encode import Activation, Implementation, Normalisation, SparseCodes, sae_encode
from ..sae_encode.arguments import choose_implementation
from ..sae_encode.normalisation import token_scale
from .products import products_of

if TYPE_CHECKING:
    from jaxtyping import Float, Float32
    from torch import Tensor

    from .by_feature import ByFeature
    from .products import Products


def encode_with_gradient(
    x: Float[Tensor, "N d"],
    w_enc: Float[Tensor, "F d"],
    b_enc: Float[Tensor, " F"],
    *,
    activation: Activation,
    k: int | None = None,
    threshold: Float[Tensor, " F"] | float | None = None,
    centre: Float[Tensor, " d"] | None = None,
    normalisation: Normalisation = "none",
    feature_scale: Float[Tensor, " F"] | None = None,
    implementation: Implementation = "auto",
) -> SparseCodes:
    """The codes of `sae_encode`, bit for bit, whose values carry a gradient.

    The gradient reaches x, w_enc, b_enc, centre and feature_scale, whichever asks for one, through the
    firing entries alone; never through an [N, F] matrix. The gradients of the parameters are dense [F, d]
    and [F], summed in float32 over entries sorted by feature: deterministic. Differentiable once.

    Args:
        x: as in `sae_encode`, like all that is not named here.
        w_enc: as in `sae_encode`.
        b_enc: as in `sae_encode`.
        activation: as in `sae_encode`.
        k: as in `sae_encode`.
        threshold: as in `sae_encode`. It has no gradient here: a jump's is zero almost everywhere, and the
            straight-through estimators that stand in for it are a choice of the training recipe.
        centre: as in `sae_encode`; the decoder bias, where the SAE subtracts it from its input.
        normalisation: as in `sae_encode`.
        feature_scale: as in `sae_encode`. A feature of scale 0 gives it no gradient.
        implementation: as in `sae_encode`, for both directions.

    Raises:
        ValueError: as `sae_encode`, and a threshold that asks for a gradient.
        ImportError: the triton implementation without triton installed.

    Source: TopK's gradient, Gao et al. 2024 (arXiv 2406.04093), section 2.3; the sorted sums are ours.
    """
    if isinstance(threshold, torch.Tensor) and threshold.requires_grad:
        raise ValueError("threshold must not ask for a gradient, since it gets none; pass threshold.detach()")
    codes = sae_encode(
        x, w_enc, b_enc, activation=activation, k=k, threshold=threshold, centre=centre,
        normalisation=normalisation, feature_scale=feature_scale, implementation=implementation,
    )  # fmt: skip
    signed = activation == "abstopk"
    chosen = choose_implementation(implementation, x)
    rows = _prepared(x, centre, normalisation)
    if chosen == "reference":
        from . import reference

        values = reference.values_of(codes, rows, w_enc, b_enc, feature_scale, signed=signed)
    else:
        values = _EncodedValues.apply(  # type: ignore[no-untyped-call]
            rows, w_enc, b_enc, feature_scale, codes, signed, products_of(chosen)
        )
    return replace(codes, values=values)


def _prepared(
    x: Float[Tensor, "N d"], centre: Float[Tensor, " d"] | None, normalisation: Normalisation
) -> Float[Tensor, "N d"]:
    """The tokens as the encoder multiplies them but for the rounding, with their gradient."""
    scale = token_scale(x.float(), normalisation)
    if scale is None and centre is None:
        return x
    rows = x.float() if scale is None else scale.apply(x.float())
    return rows if centre is None else rows - centre.float()


class _EncodedValues(torch.autograd.Function):
    """Values that are there already, tied to what they were computed from."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: Float[Tensor, "N d"],
        w_enc: Float[Tensor, "F d"],
        b_enc: Float[Tensor, " F"],
        feature_scale: Float[Tensor, " F"] | None,
        codes: SparseCodes,
        signed: bool,
        products: Products,
    ) -> Float32[Tensor, " M"]:
        ctx.save_for_backward(rows.to(w_enc.dtype), w_enc, feature_scale)
        ctx.row_dtype = rows.dtype
        ctx.codes, ctx.signed, ctx.products = codes, signed, products
        ctx.bias_dtype = b_enc.dtype
        # Not the tensor in `codes` itself: that one stays behind without a gradient, for the backward.
        return codes.values.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Float32[Tensor, " M"]) -> tuple[Tensor | None, ...]:
        rows, w_enc, feature_scale = ctx.saved_tensors
        codes: SparseCodes = ctx.codes
        products: Products = ctx.products
        to_rows, to_weights, to_bias, to_scale = ctx.needs_input_grad[:4]
        if not ctx.signed:
            slope = torch.where(codes.values > 0, slope, 0.0)
        entries = products.by_feature(codes) if to_weights or to_bias or to_scale else None

        row_slope = weight_slope = bias_slope = scale_slope = None
        if entries is not None and to_scale:
            scale = feature_scale.float()
            total = _sums(entries, slope * codes.values, products, codes.token_count)
            scale_slope = torch.where(scale == 0, 0.0, total / scale).to(feature_scale.dtype)
        if feature_scale is not None:
            slope = slope * feature_scale.float()[codes.indices]
        if to_rows:
            row_slope = products.combine(codes, slope, w_enc).to(ctx.row_dtype)
        if entries is not None and to_weights:
            weight_slope = products.collect(entries, slope, rows).to(w_enc.dtype)
        if entries is not None and to_bias:
            bias_slope = _sums(entries, slope, products, codes.token_count).to(ctx.bias_dtype)
        return row_slope, weight_slope, bias_slope, scale_slope, None, None, None


def _sums(
    entries: ByFeature, weights: Float32[Tensor, " M"], products: Products, token_count: int
) -> Float32[Tensor, " F"]:
    """Per feature, the sum over its entries."""
    ones = torch.ones(token_count, 1, device=weights.device)
    return products.collect(entries, weights, ones).flatten()
