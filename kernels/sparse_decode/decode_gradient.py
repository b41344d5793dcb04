"""Decoding as a step of autograd: forward and backward touch the entries of the codes alone.

d values[e] = d out[token of e] · w_dec[feature of e]        d b_dec = Σ d out[n]
d w_dec[f]  = Σ values[e] · d out[token of e]                over the entries of feature f
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from jaxtyping import Float, Float32
    from torch import Tensor

    from ..sae_encode import SparseCodes
    from .products import Products


class SparseDecode(torch.autograd.Function):
    """The decoder, differentiable in the values, the directions and the bias."""

    @staticmethod
    def forward(
        ctx: Any,
        values: Float32[Tensor, " M"],
        w_dec: Float[Tensor, "F d"],
        b_dec: Float[Tensor, " d"] | None,
        codes: SparseCodes,
        products: Products,
    ) -> Float32[Tensor, "N d"]:
        """The activations that the codes stand for."""
        ctx.save_for_backward(values, w_dec)
        ctx.codes, ctx.products = codes, products
        ctx.bias_dtype = None if b_dec is None else b_dec.dtype
        decoded = products.combine(codes, values, w_dec)
        return decoded if b_dec is None else decoded.add_(b_dec.float())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Float32[Tensor, "N d"]) -> tuple[Tensor | None, ...]:
        """Gradients for values, w_dec and b_dec."""
        values, w_dec = ctx.saved_tensors
        codes, products = ctx.codes, ctx.products
        slope = slope.contiguous()
        to_values, to_directions, to_bias = ctx.needs_input_grad[:3]
        value_slope = products.dots(codes, slope, w_dec) if to_values else None
        direction_slope = None
        if to_directions:
            direction_slope = products.collect(products.by_feature(codes), values, slope).to(w_dec.dtype)
        bias_slope = slope.sum(dim=0).to(ctx.bias_dtype) if to_bias else None
        return value_slope, direction_slope, bias_slope, None, None
