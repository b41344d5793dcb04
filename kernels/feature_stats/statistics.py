"""What a stream of tokens leaves behind of each feature: sufficient statistics that add up.

G = groups, F = features.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch

from .histogram import BINS, auroc_of_counts

if TYPE_CHECKING:
    from jaxtyping import Float32, Float64, Int64
    from torch import Tensor

NO_TOKEN = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureStats:
    """How often, how strongly and where each feature fired, for every group of tokens apart.

    A feature fires on a token when its code is not 0; below 0 it can be after AbsTopK alone.

    Attributes:
        token_count: tokens seen, per group (the denominator of the firing rate).
        firing_count: tokens on which the feature fired.
        value_sum: sum of the activations, in the units of the pre-activations.
        square_sum: sum of the squared activations, in those units squared.
        maximum: the largest absolute activation, 0 where the feature never fired.
        maximum_token: the token that it was seen on, the lowest at a tie; -1 where it never fired.
        histogram: tokens per bin of the absolute activation where the feature fired (`histogram.py`), or
            None where none was asked for.
    """

    token_count: Int64[Tensor, " G"]
    firing_count: Int64[Tensor, "G F"]
    value_sum: Float64[Tensor, "G F"]
    square_sum: Float64[Tensor, "G F"]
    maximum: Float32[Tensor, "G F"]
    maximum_token: Int64[Tensor, "G F"]
    histogram: Int64[Tensor, "G F 64"] | None = None

    def __post_init__(self) -> None:
        shape = self.firing_count.shape
        for field in fields(self):
            tensor = getattr(self, field.name)
            if tensor is None:
                continue
            expected = shape[:1] if field.name == "token_count" else shape
            if field.name == "histogram":
                expected = torch.Size((*shape, BINS))
            if tensor.shape != expected:
                raise ValueError(
                    f"{field.name} must have the shape {tuple(expected)}, got {tuple(tensor.shape)}"
                )

    @classmethod
    def empty(
        cls,
        group_count: int,
        feature_count: int,
        *,
        device: torch.device | str = "cpu",
        histogram: bool = False,
    ) -> FeatureStats:
        """The statistics of no token at all: merging them changes nothing."""
        shape = (group_count, feature_count)
        return cls(
            token_count=torch.zeros(group_count, dtype=torch.int64, device=device),
            firing_count=torch.zeros(shape, dtype=torch.int64, device=device),
            value_sum=torch.zeros(shape, dtype=torch.float64, device=device),
            square_sum=torch.zeros(shape, dtype=torch.float64, device=device),
            maximum=torch.zeros(shape, dtype=torch.float32, device=device),
            maximum_token=torch.full(shape, NO_TOKEN, dtype=torch.int64, device=device),
            histogram=torch.zeros((*shape, BINS), dtype=torch.int64, device=device) if histogram else None,
        )

    @property
    def group_count(self) -> int:
        """G."""
        return self.firing_count.shape[0]

    @property
    def feature_count(self) -> int:
        """F."""
        return self.firing_count.shape[1]

    def firing_rate(self) -> Float64[Tensor, "G F"]:
        """Share of a group's tokens on which each feature fired, in [0, 1]; NaN for a group without tokens."""
        return self.firing_count.double() / self.token_count.double()[:, None]

    def auroc(self, group: int, other: int) -> Float64[Tensor, " F"]:
        """How well each feature's absolute activation tells `group` from `other`, in [0, 1].

        0.5 is chance, 1 means that the feature is stronger on every token of `group`. From the histogram:
        exact but for pairs of activations within a quarter of an octave, which count half. NaN where one
        of the groups has no tokens.

        Raises:
            ValueError: the statistics hold no histogram.
        """
        if self.histogram is None:
            raise ValueError("auroc needs a histogram, got statistics without; ask for histogram=True")
        silent = (self.token_count[:, None] - self.firing_count)[:, :, None]
        counts = torch.cat([silent, self.histogram], dim=2)
        return auroc_of_counts(counts[group], counts[other])

    def merge(self, other: FeatureStats, *, token_offset: int = 0) -> FeatureStats:
        """The statistics of both streams of tokens together.

        Counts, maxima and their tokens merge exactly, in any order and any bracketing. Sums are float64:
        each addition rounds by at most 2^-53 of the result, so another order can change the last bits,
        the same order never does.

        Args:
            other: statistics of other tokens, over the same groups and features.
            token_offset: added to the token numbers of `other`: the number of tokens before its stream,
                where it counted from 0.

        Raises:
            ValueError: other groups, features or device, or a histogram in one of them alone.
        """
        if self.firing_count.shape != other.firing_count.shape:
            raise ValueError(
                "statistics to merge must share [G, F], "
                f"got {tuple(self.firing_count.shape)} and {tuple(other.firing_count.shape)}"
            )
        if self.firing_count.device != other.firing_count.device:
            raise ValueError(
                "statistics to merge must be on one device, "
                f"got {self.firing_count.device} and {other.firing_count.device}"
            )
        if (self.histogram is None) != (other.histogram is None):
            raise ValueError(
                "statistics to merge must both hold a histogram or neither, got one with and one without"
            )
        histogram = None
        if self.histogram is not None and other.histogram is not None:
            histogram = self.histogram + other.histogram
        other_token = torch.where(
            other.maximum_token == NO_TOKEN, NO_TOKEN, other.maximum_token + token_offset
        )
        # -1 in either is no tie: a maximum of 0 means that the feature never fired.
        take_other = (other.maximum > self.maximum) | (
            (other.maximum == self.maximum) & (other_token < self.maximum_token)
        )
        return FeatureStats(
            token_count=self.token_count + other.token_count,
            firing_count=self.firing_count + other.firing_count,
            value_sum=self.value_sum + other.value_sum,
            square_sum=self.square_sum + other.square_sum,
            maximum=torch.where(take_other, other.maximum, self.maximum),
            maximum_token=torch.where(take_other, other_token, self.maximum_token),
            histogram=histogram,
        )

    def to(self, device: torch.device | str) -> FeatureStats:
        """The same statistics on another device."""
        moved = {f.name: getattr(self, f.name).to(device) for f in fields(self) if f.name != "histogram"}
        return FeatureStats(**moved, histogram=None if self.histogram is None else self.histogram.to(device))
