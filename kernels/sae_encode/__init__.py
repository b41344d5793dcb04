"""SAE encoding: activations in, the few features that are on out. The [N, F] matrix is never stored.

`reference.py` is the definition, `cpu.py` and `triton_kernel.py` the fast ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .arguments import COUNTED, Activation, Implementation, check_arguments, choose_implementation
from .normalisation import Normalisation
from .sparse_codes import SparseCodes, TopCodes

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

__all__ = [
    "COUNTED",
    "Activation",
    "Implementation",
    "Normalisation",
    "SparseCodes",
    "TopCodes",
    "sae_encode",
]


@torch.no_grad()
def sae_encode(
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
    """Which SAE features each activation switches on, and how strongly.

    `pre = ((normalised(x) - centre) @ w_encᵀ + b_enc) · feature_scale`, accumulated in float32; then one of

    * `topk`: the k largest pre-activations of a token (ties: the lowest feature), negative ones set to 0;
    * `abstopk`: the k largest in absolute value, with their signs (ties: the lowest feature);
    * `batchtopk`: the N·k largest of all tokens of this call that are above 0 (ties: the lowest token,
      then the lowest feature), as in training; at inference a trained BatchTopK SAE is a `jumprelu`;
    * `relu`: every feature with `pre > 0`;
    * `jumprelu`: every feature with `pre > max(threshold, 0)`.

    Args:
        x: activations (residual stream), one row a token; float32, bfloat16 or float16. N may be 0.
        w_enc: encoder, one row a feature, in the dtype of x. A transposed view of a [d, F] matrix
            is accepted as it is; contiguous rows are the fast layout.
        b_enc: encoder bias, any floating dtype.
        activation: the SAE's nonlinearity.
        k: features a token, for topk, batchtopk (on average) and abstopk; 1 to F.
        threshold: for jumprelu alone; one number, or one a feature. Below 0 it counts as 0.
        centre: subtracted from x beforehand (the decoder bias of an SAE that is applied to its input).
            The difference is rounded to the dtype of x.
        normalisation: what is done to each token before that; see `Normalisation`. The codes are then
            in the normalised scale.
        feature_scale: what each pre-activation is multiplied by before features are chosen: the norms of
            the decoder rows, for an SAE whose features are ranked by what they write.
        implementation: `auto` takes `cpu` or `triton` by the device of x. An explicit choice is
            carried out or refused, never replaced.

    Returns:
        The codes in compressed rows, float32 values; `.top()` gives [N, k] matrices after topk and
        abstopk. The result carries no gradient.

    Raises:
        ValueError: shapes, dtypes, devices or ranges that do not fit, or a NaN or infinity anywhere in
            the input; the message gives the rule and the values.
        ImportError: the triton implementation without triton installed.

    Source: TopK, arXiv 2406.04093; BatchTopK, arXiv 2412.06410; AbsTopK, arXiv 2510.00404; JumpReLU,
    arXiv 2407.14435.
    """
    encoder = check_arguments(
        x, w_enc, b_enc, activation=activation, k=k, threshold=threshold, centre=centre,
        normalisation=normalisation, feature_scale=feature_scale,
    )  # fmt: skip
    chosen = choose_implementation(implementation, x)
    x = x.detach()
    if chosen == "reference":
        from . import reference

        return reference.encode(x, encoder)
    if chosen == "cpu":
        from . import cpu

        return cpu.encode(x, encoder)
    from . import triton_passes

    return triton_passes.encode(x, encoder)
