"""Sparse codes back to activations, and the gradients that training an SAE through its codes needs.

`reference.py` is the definition, gradients included; `products.py` names the three products that both
directions are made of, `cpu.py` and `triton_kernel.py` the fast ways to form them. The encoder's gradient
lives here and not beside `sae_encode`, because its backward is made of the same three products.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..sae_encode import Implementation, SparseCodes
from ..sae_encode.arguments import choose_implementation
from .arguments import check_arguments
from .encode_gradient import encode_with_gradient

if TYPE_CHECKING:
    from jaxtyping import Float, Float32
    from torch import Tensor

__all__ = ["encode_with_gradient", "sparse_decode"]


def sparse_decode(
    codes: SparseCodes,
    w_dec: Float[Tensor, "F d"],
    b_dec: Float[Tensor, " d"] | None = None,
    *,
    implementation: Implementation = "auto",
) -> Float32[Tensor, "N d"]:
    """The activations that the codes stand for: each token's decoder directions, weighted and summed.

    `out[n] = Σ values[e] · w_dec[indices[e]] + b_dec` over the entries e of token n, accumulated in float32.
    A token without entries gives b_dec.

    Differentiable once, in `codes.values`, `w_dec` and `b_dec`. Nothing of shape [N, F] is stored either
    way; the gradient of w_dec is a dense [F, d], summed over entries sorted by feature. Both directions are
    deterministic: the same call on the same device gives the same bits.

    Args:
        codes: from `sae_encode` or `encode_with_gradient`, in the units of the SAE's pre-activations.
        w_dec: decoder directions, one row a feature; float32, bfloat16 or float16. Contiguous rows are the
            fast layout.
        b_dec: decoder bias, any floating dtype; None adds nothing.
        implementation: `auto` takes `cpu` or `triton` by the device of the codes. An explicit choice is
            carried out or refused, never replaced; `reference` writes [N, F] out.

    Returns:
        Float32, whatever the dtype of w_dec, in the units of the activations. NaN and infinity in the
        values, or in a direction that is used, come out as in any sum.

    Raises:
        ValueError: shapes, dtypes, devices or feature numbers that do not fit; the message gives the rule
            and the values.
        ImportError: the triton implementation without triton installed.

    Source: ours; sparse decoding as an alternative to the dense product, Gao et al. 2024 (arXiv 2406.04093).
    """
    check_arguments(codes, w_dec, b_dec)
    chosen = choose_implementation(implementation, codes.values)
    if chosen == "reference":
        from . import reference

        return reference.decode(codes, w_dec, b_dec)
    from .decode_gradient import SparseDecode
    from .products import products_of

    decoded: Float32[Tensor, "N d"] = SparseDecode.apply(  # type: ignore[no-untyped-call]
        codes.values, w_dec, b_dec, codes, products_of(chosen)
    )
    return decoded
