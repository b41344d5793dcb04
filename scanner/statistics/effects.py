"""How far two groups lie apart, from counts, sums and sums of squares alone.

Those add up over shards and blocks, so no sample has to be kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import ttest_ind_from_stats

if TYPE_CHECKING:
    from jaxtyping import Float, Float64
    from numpy import ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Sufficient statistics of one group, feature by feature.

    Attributes:
        count: observations, zeros included.
        value_sum: sum over them, in float64.
        square_sum: sum of squares, in float64.
    """

    count: int
    value_sum: Float64[ndarray, " F"]
    square_sum: Float64[ndarray, " F"]

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"count must be 0 or more, got {self.count}")
        if self.value_sum.shape != self.square_sum.shape:
            raise ValueError(
                f"value_sum and square_sum must share [F], got {self.value_sum.shape} and {self.square_sum.shape}"
            )

    @classmethod
    def of(cls, sample: Float[ndarray, "N F"]) -> Moments:
        """The moments of a sample at hand."""
        sample = np.asarray(sample, dtype=np.float64)
        return cls(count=len(sample), value_sum=sample.sum(axis=0), square_sum=np.square(sample).sum(axis=0))

    def mean(self) -> Float64[ndarray, " F"]:
        """The mean; NaN without an observation."""
        return self.value_sum / self.count if self.count else np.full(self.value_sum.shape, np.nan)

    def variance(self) -> Float64[ndarray, " F"]:
        """The unbiased variance; NaN below two observations, 0 where only rounding is left."""
        if self.count < 2:
            return np.full(self.value_sum.shape, np.nan)
        centred = self.square_sum - self.value_sum * self.value_sum / self.count
        # The difference of two nearly equal sums keeps no digit below this.
        rounding = 8 * np.finfo(np.float64).eps * self.square_sum
        return np.where(centred > rounding, centred, 0.0) / (self.count - 1)


def cohens_d(first: Moments, second: Moments) -> Float64[ndarray, " F"]:
    """Mean difference, first minus second, in pooled standard deviations.

    0 where neither mean nor spread differ from nothing; plus or minus infinity where the means differ
    and neither group has any spread; NaN below two observations in a group.

    >>> cohens_d(Moments.of(np.array([[1.0], [3.0]])), Moments.of(np.array([[0.0], [2.0]]))).round(4)
    array([0.7071])
    """
    freedom = first.count + second.count - 2
    if min(first.count, second.count) < 2:
        return np.full(first.value_sum.shape, np.nan)
    pooled = ((first.count - 1) * first.variance() + (second.count - 1) * second.variance()) / freedom
    difference = first.mean() - second.mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(difference == 0.0, 0.0, difference / np.sqrt(pooled))


def welch_p_values(first: Moments, second: Moments) -> Float64[ndarray, " F"]:
    """Two-sided p-value of Welch's t-test, feature by feature.

    Where neither group has any spread the test is undefined; the value is then 1 for equal means and
    0 for different ones. NaN below two observations in a group.
    """
    if min(first.count, second.count) < 2:
        return np.full(first.value_sum.shape, np.nan)
    means = first.mean(), second.mean()
    variances = first.variance(), second.variance()
    with np.errstate(divide="ignore", invalid="ignore"):
        tested = ttest_ind_from_stats(
            means[0], np.sqrt(variances[0]), first.count,
            means[1], np.sqrt(variances[1]), second.count,
            equal_var=False,
        ).pvalue  # fmt: skip
    flat = (variances[0] == 0.0) & (variances[1] == 0.0)
    p_values: Float64[ndarray, " F"] = np.where(flat, np.where(means[0] == means[1], 1.0, 0.0), tested)
    return p_values
