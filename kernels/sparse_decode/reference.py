"""The definition of decoding and of both gradients, in plain torch: the whole [N, F], torch's own autograd.

    decode:  codes written out densely  @  w_dec  +  b_dec                              in float32
    encode:  relu((z @ w_encᵀ + b_enc) · feature_scale) at the entries that the encoder chose   in float32

z are the tokens as the encoder multiplies them; AbsTopK has no relu. The choice of entries carries no
gradient, and neither does a TopK entry that was set to 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from jaxtyping import Float, Float32
    from torch import Tensor

    from ..sae_encode import SparseCodes


def decode(
    codes: SparseCodes, w_dec: Float[Tensor, "F d"], b_dec: Float[Tensor, " d"] | None
) -> Float32[Tensor, "N d"]:
    """Activations by definition; see the module text."""
    dense = torch.zeros(codes.token_count, codes.feature_count, device=codes.values.device)
    dense = dense.index_put((codes.entry_tokens(), codes.indices), codes.values, accumulate=True)
    decoded = dense @ w_dec.float()
    return decoded if b_dec is None else decoded + b_dec.float()


def values_of(
    codes: SparseCodes,
    rows: Float[Tensor, "N d"],
    w_enc: Float[Tensor, "F d"],
    b_enc: Float[Tensor, " F"],
    feature_scale: Float[Tensor, " F"] | None,
    *,
    signed: bool,
) -> Float32[Tensor, " M"]:
    """The values of these codes once more, with their gradient."""
    rows = rows.float()
    # Rounded to the encoder's dtype, with the gradient of the identity.
    rows = rows + (rows.to(w_enc.dtype).float() - rows).detach()
    pre = rows @ w_enc.float().T + b_enc.float()
    if feature_scale is not None:
        pre = pre * feature_scale.float()
    chosen = pre[codes.entry_tokens(), codes.indices]
    return chosen if signed else chosen.relu()
