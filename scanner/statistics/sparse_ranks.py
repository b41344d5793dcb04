"""Which features tell two groups of tokens apart, straight from sparse codes.

All zeros of a feature are one block of ties, so they enter in closed form: the work and memory are
those of sorting the M stored entries, and no [N, F] matrix, nor a block of one, is ever written out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import ndtr

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float64, Int
    from numpy import ndarray


class RankTests(NamedTuple):
    """Two samples compared, feature by feature; NaN everywhere where a sample is empty.

    Attributes:
        auroc: probability that a positive token activates it more than a negative one, ties half.
        p_value: two-sided Mann-Whitney test, normal approximation with tie and continuity
            correction; 1 for a feature that is 0 everywhere.
    """

    auroc: Float64[ndarray, " F"]
    p_value: Float64[ndarray, " F"]


def rank_tests_of_codes(
    tokens: Int[ndarray, " M"],
    features: Int[ndarray, " M"],
    values: Float[ndarray, " M"],
    positive: Bool[ndarray, " N"],
    feature_count: int,
) -> RankTests:
    """AUROC and Mann-Whitney p-value of every feature, positive tokens against the others.

    Args:
        tokens: the token of each entry, in [0, N).
        features: the feature of each entry, in [0, F); a pair of token and feature occurs once.
        values: activations, 0 or more; what is not stored is 0.
        positive: for each token, whether it is in the positive sample.
        feature_count: F.

    Raises:
        ValueError: arrays that do not fit together, negative activations or NaN.

    Source: Mann and Whitney 1947; the variance under ties as in Lehmann 1975.
    """
    if not tokens.shape == features.shape == values.shape or tokens.ndim != 1:
        raise ValueError(
            f"tokens, features and values must be [M], got {tokens.shape}, {features.shape} and {values.shape}"
        )
    if not (values >= 0).all():
        raise ValueError("values must be activations of 0 or more, got a negative one or NaN")
    size, count = len(positive), int(np.count_nonzero(positive))
    rest = size - count
    if count == 0 or rest == 0:
        empty = np.full(feature_count, np.nan)
        return RankTests(auroc=empty, p_value=empty.copy())
    on = values > 0
    order = np.lexsort((values[on], features[on]))
    feature, value = features[on][order], values[on][order]
    is_positive = positive[tokens[on][order]].astype(np.float64)

    # Runs of equal activation within one feature are the blocks of ties.
    new_run = np.ones(len(value), dtype=bool)
    new_run[1:] = (feature[1:] != feature[:-1]) | (value[1:] != value[:-1])
    run = np.cumsum(new_run) - 1
    run_feature = feature[new_run]
    run_positives = np.bincount(run, weights=is_positive, minlength=len(run_feature))
    run_negatives = np.bincount(run, minlength=len(run_feature)) - run_positives

    on_positives = np.bincount(run_feature, weights=run_positives, minlength=feature_count)
    on_negatives = np.bincount(run_feature, weights=run_negatives, minlength=feature_count)
    zero_positives, zero_negatives = count - on_positives, rest - on_negatives

    # Negatives below a run: the zeros, and the earlier runs of the same feature.
    before = np.cumsum(run_negatives) - run_negatives
    first = np.cumsum(on_negatives) - on_negatives
    below = before - first[run_feature] + zero_negatives[run_feature]
    won = run_positives * (below + run_negatives / 2)
    wins = (
        np.bincount(run_feature, weights=won, minlength=feature_count) + zero_positives * zero_negatives / 2
    )

    tied = run_positives + run_negatives
    zeros = zero_positives + zero_negatives
    ties = np.bincount(run_feature, weights=tied**3 - tied, minlength=feature_count) + zeros**3 - zeros
    variance = count * rest / 12 * (size + 1 - ties / (size * (size - 1)))
    distance = np.abs(wins - count * rest / 2) - 0.5
    # A feature without any spread has variance 0 (up to rounding) and says nothing.
    spread = np.sqrt(np.maximum(variance, 0.0))
    z = np.divide(distance, spread, out=np.zeros(feature_count), where=spread > 1e-9 * count * rest)
    return RankTests(auroc=wins / (count * rest), p_value=np.minimum(1.0, 2 * ndtr(-z)))
