"""The definition of screened encoding, in plain torch: every estimate and every bound written out.

    estimate = s_x s_w (q_x · q_w) + the outlying columns' product + b
    TopK:      candidates are the entries whose estimate + 6σ reaches the k-th largest estimate - 6σ
    others:    candidates are the entries whose estimate + 6σ is above their floor

and the codes are the exact codes among the candidates. AbsTopK takes the size of the estimate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..sae_encode.reference import pre_activations
from ..sae_encode.sparse_codes import SparseCodes
from .screen import SIGMAS

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from .screen import Screen


def encode(x: Float[Tensor, "N d"], screen: Screen) -> tuple[SparseCodes, int, float]:
    """Codes, the number of candidates, and the largest error among them in standard deviations."""
    encoder, everything = screen.encoder, slice(0, screen.encoder.feature_count)
    outlying = screen.outlying(x)
    quantised = screen.quantise(x, outlying)
    product = quantised.integers.double() @ screen.weights.integers.double().T
    product *= quantised.scale[:, None].double() * screen.weights.scale.double()
    estimate = (product + quantised.apart.double() @ screen.apart(outlying).double().T).float() + screen.bias
    sigma = screen.sigma(quantised, everything)
    signed = encoder.activation == "abstopk"
    size = estimate.abs() if signed else estimate
    if encoder.k is not None:
        level = (size - SIGMAS * sigma).topk(encoder.k, dim=1).values[:, -1:]
        candidate = size + SIGMAS * sigma >= level
    else:
        candidate = size + SIGMAS * sigma > encoder.firing_floor
    exact = pre_activations(x, encoder)
    off = ((exact - estimate).abs() / sigma.clamp(min=torch.finfo(torch.float32).tiny))[candidate]
    deviation = float(off.max()) if len(off) else 0.0
    if encoder.k is None:
        kept = candidate & (exact > encoder.firing_floor)
        offsets = torch.zeros(len(x) + 1, dtype=torch.int64, device=x.device)
        offsets[1:] = kept.sum(dim=1).cumsum(dim=0)
        indices, values = kept.nonzero()[:, 1], exact[kept]
    else:
        ranked = (exact.abs() if signed else exact).masked_fill(~candidate, -torch.inf)
        chosen = torch.sort(ranked, dim=1, descending=True, stable=True).indices[:, : encoder.k]
        values = exact.gather(1, chosen)
        values = (values if signed else values.clamp(min=0.0)).flatten()
        indices = chosen.flatten()
        offsets = torch.arange(len(x) + 1, device=x.device) * encoder.k
    codes = SparseCodes(
        row_offsets=offsets, indices=indices, values=values, feature_count=encoder.feature_count
    )
    return codes, int(candidate.sum()), deviation
