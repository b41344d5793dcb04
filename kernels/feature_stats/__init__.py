"""Statistics of every SAE feature over a stream of tokens, without ever storing [N, F].

`reference.py` is the definition, `cpu.py` and `triton_kernel.py` the fast ways, fused with the encoder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..sae_encode import Activation, Implementation, Normalisation, SparseCodes
from ..sae_encode.arguments import check_arguments, choose_implementation
from .statistics import NO_TOKEN, FeatureStats

if TYPE_CHECKING:
    from jaxtyping import Float, Int64, Integer
    from torch import Tensor

__all__ = ["LARGEST_GROUP_COUNT", "NO_TOKEN", "FeatureStats", "feature_stats", "stats_of_codes"]

LARGEST_GROUP_COUNT = 64


@torch.no_grad()
def feature_stats(
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
    groups: Integer[Tensor, " N"] | None = None,
    group_count: int = 1,
    token_offset: int = 0,
    histogram: bool = False,
    implementation: Implementation = "auto",
) -> FeatureStats:
    """How often, how strongly and where each SAE feature fires, per group of tokens.

    The codes are those of `sae_encode` with the same arguments; see there for `x` to
    `feature_scale` and `implementation`. The result is deterministic: the same call on the same device gives the same bits.

    Args:
        groups: for each token the group it counts for, in [0, group_count); None puts all into group 0.
        group_count: G, 1 to 64.
        token_offset: number of the first token of x in the whole stream: `maximum_token` counts from
            there, and the statistics of successive chunks then merge as they are.
        histogram: also count activations in 64 fixed bins, from which `FeatureStats.auroc` follows; that
            is 512 bytes a group and feature.

    Returns:
        Statistics of shape [G, F] on the device of x. Sums over tokens are float64. The fused triton
        kernel adds up a tile of at most 128 tokens in float32 first (relative error below 2^-16 at worst,
        about 2^-23 as a rule), and its pre-activations may differ from the encoder's in the last bits.

    Raises:
        ValueError: as `sae_encode`, and groups that do not fit.
        ImportError: the triton implementation without triton installed.
    """
    encoder = check_arguments(
        x, w_enc, b_enc, activation=activation, k=k, threshold=threshold, centre=centre,
        normalisation=normalisation, feature_scale=feature_scale,
    )  # fmt: skip
    group_of = _checked_groups(groups, group_count, len(x), x.device)
    chosen = choose_implementation(implementation, x)
    x = x.detach()
    if chosen == "reference":
        from ..sae_encode import reference as encoder_reference
        from . import reference

        codes = encoder_reference.encode(x, encoder)
        return reference.stats_of_codes(codes, group_of, group_count, token_offset, histogram=histogram)
    if chosen == "cpu":
        from . import cpu

        return cpu.stats_of_tokens(x, encoder, group_of, group_count, token_offset, histogram=histogram)
    from . import triton_kernel

    return triton_kernel.stats_of_tokens(x, encoder, group_of, group_count, token_offset, histogram=histogram)


@torch.no_grad()
def stats_of_codes(
    codes: SparseCodes,
    *,
    groups: Integer[Tensor, " N"] | None = None,
    group_count: int = 1,
    token_offset: int = 0,
    histogram: bool = False,
) -> FeatureStats:
    """The same statistics of codes that were encoded before, so that one pass serves both.

    Args:
        codes: from `sae_encode`, in token order.
        groups: as in `feature_stats`.
        group_count: as in `feature_stats`.
        token_offset: as in `feature_stats`.
        histogram: as in `feature_stats`.

    Raises:
        ValueError: groups that do not fit.
    """
    device = codes.values.device
    group_of = _checked_groups(groups, group_count, codes.token_count, device)
    if device.type == "cpu":
        from . import cpu

        return cpu.stats_of_codes(codes, group_of, group_count, token_offset, histogram=histogram)
    from . import sorted_codes

    return sorted_codes.stats_of_codes(codes, group_of, group_count, token_offset, histogram=histogram)


def _checked_groups(
    groups: Tensor | None, group_count: int, token_count: int, device: torch.device
) -> Int64[Tensor, " N"]:
    if isinstance(group_count, bool) or not isinstance(group_count, int):
        raise ValueError(f"group_count must be a whole number, got {group_count!r}")
    if not 1 <= group_count <= LARGEST_GROUP_COUNT:
        raise ValueError(f"group_count must be from 1 to {LARGEST_GROUP_COUNT}, got {group_count}")
    if groups is None:
        if group_count != 1:
            raise ValueError(
                f"several groups need a group a token, got group_count = {group_count}, groups = None"
            )
        return torch.zeros(token_count, dtype=torch.int64, device=device)
    if tuple(groups.shape) != (token_count,):
        raise ValueError(f"groups must be [N] = [{token_count}], got shape {tuple(groups.shape)}")
    if groups.is_floating_point() or groups.is_complex() or groups.dtype == torch.bool:
        raise ValueError(f"groups must be whole numbers, got {groups.dtype}")
    if groups.device != device:
        raise ValueError(f"groups and x must be on one device, got {groups.device} and {device}")
    group_of = groups.to(torch.int64)
    if token_count:
        low, high = (int(bound) for bound in torch.aminmax(group_of))
        if low < 0 or high >= group_count:
            raise ValueError(f"groups must lie in [0, {group_count}), got values from {low} to {high}")
    return group_of
