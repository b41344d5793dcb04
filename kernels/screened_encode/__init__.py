"""SAE encoding below the cost of its matrix product: screened in 8 bit, survivors rescored exactly.

An int8 product tells, within a statistical bound, which few features of a token can be among those that
are kept; only they are computed in full. The result is that of `sae_encode` unless the bound failed for
an entry, and each run says how many entries an exact run on a sample of its tokens would have added.

`screen.py` holds the quantisation and the bound, `reference.py` the definition, `cpu.py` and
`triton_kernel.py` (run by `triton_passes.py`) the fast ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from ..feature_stats import FeatureStats, stats_of_codes
from ..sae_encode import Activation, Implementation, Normalisation, SparseCodes
from ..sae_encode.arguments import check_activations, check_arguments, choose_implementation
from .audit import Audit, audited
from .screen import Screen, quantised_encoder

if TYPE_CHECKING:
    from jaxtyping import Float, Integer
    from torch import Tensor

__all__ = [
    "Audit",
    "Screen",
    "Screened",
    "ScreenedStats",
    "prepare_screen",
    "screened_encode",
    "screened_stats",
]

AUDITED = 64  # tokens of a call that are encoded exactly as well
STATS_TOKENS = 2**14  # tokens whose codes are held at a time


class Screened(NamedTuple):
    """Codes, and how they were checked."""

    codes: SparseCodes
    audit: Audit


class ScreenedStats(NamedTuple):
    """Statistics, and how the codes behind them were checked."""

    stats: FeatureStats
    audit: Audit


@torch.no_grad()
def prepare_screen(
    w_enc: Float[Tensor, "F d"],
    b_enc: Float[Tensor, " F"],
    *,
    activation: Activation,
    k: int | None = None,
    threshold: Float[Tensor, " F"] | float | None = None,
    centre: Float[Tensor, " d"] | None = None,
    normalisation: Normalisation = "none",
    feature_scale: Float[Tensor, " F"] | None = None,
    seed: int = 0,
) -> Screen:
    """An encoder with its 8-bit shadow, made once and used for many calls.

    Args:
        w_enc: with the others as in `sae_encode`; `batchtopk` cannot be screened.
        seed: of the random rotation that spreads outlier dimensions over all of them.

    Returns:
        The screen; it holds F·d + d² further numbers (int8 and float32).

    Raises:
        ValueError: as `sae_encode`, or batchtopk.
    """
    if activation == "batchtopk":
        raise ValueError(
            "screening decides token by token, got batchtopk; use sae_encode, or jumprelu with its threshold"
        )
    encoder = check_arguments(
        w_enc[:0], w_enc, b_enc, activation=activation, k=k, threshold=threshold, centre=centre,
        normalisation=normalisation, feature_scale=feature_scale,
    )  # fmt: skip
    return quantised_encoder(encoder, seed)


@torch.no_grad()
def screened_encode(
    x: Float[Tensor, "N d"],
    screen: Screen,
    *,
    audit_tokens: int = AUDITED,
    seed: int = 0,
    implementation: Implementation = "auto",
) -> Screened:
    """Which SAE features each activation switches on: those of `sae_encode`, with a statistical bound.

    Args:
        x: activations, in the dtype and on the device of the screen's encoder.
        screen: from `prepare_screen`.
        audit_tokens: so many tokens, drawn from `seed`, are encoded exactly as well and compared.
        implementation: as in `sae_encode`.

    Returns:
        The codes, values exact (float32 accumulation), and the audit.

    Raises:
        ValueError: as `sae_encode`; or activations that cannot be screened well: more candidates a token
            than a sixteenth of the features (and than 16·k), or candidates that lie outside the bound.
    """
    check_activations(x, screen.encoder)
    chosen = choose_implementation(implementation, x)
    x = x.detach()
    if chosen == "reference":
        from . import reference as fast
    elif chosen == "cpu":
        from . import cpu as fast  # type: ignore[no-redef]
    else:
        from . import triton_passes as fast  # type: ignore[no-redef]
    codes, candidates, deviation = fast.encode(x, screen)
    return Screened(codes, audited(x, screen.encoder, codes, candidates, deviation, audit_tokens, seed))


@torch.no_grad()
def screened_stats(
    x: Float[Tensor, "N d"],
    screen: Screen,
    *,
    groups: Integer[Tensor, " N"] | None = None,
    group_count: int = 1,
    token_offset: int = 0,
    histogram: bool = False,
    audit_tokens: int = AUDITED,
    seed: int = 0,
    implementation: Implementation = "auto",
) -> ScreenedStats:
    """How often, how strongly and where each feature fires, of screened codes.

    Args:
        x: with `screen` and `audit_tokens` as in `screened_encode`; so many tokens of every 16,384.
        groups: with the others as in `feature_stats`.

    Raises:
        ValueError: as `screened_encode`, and groups that do not fit.
    """
    stats = FeatureStats.empty(
        group_count, screen.encoder.feature_count, device=x.device, histogram=histogram
    )
    audit = Audit.empty()
    for start in range(0, len(x), STATS_TOKENS):
        part = slice(start, start + STATS_TOKENS)
        codes, checked = screened_encode(
            x[part], screen, audit_tokens=audit_tokens, seed=seed + start, implementation=implementation
        )
        added = stats_of_codes(
            codes,
            groups=None if groups is None else groups[part],
            group_count=group_count,
            token_offset=token_offset + start,
            histogram=histogram,
        )
        stats, audit = stats.merge(added), audit.merge(checked)
    return ScreenedStats(stats, audit)
