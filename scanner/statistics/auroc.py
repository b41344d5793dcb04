"""How well a number tells two samples apart: the area under the ROC curve.

The probability that a random positive scores above a random negative, ties counted half: 0.5 says
nothing, 1 separates, 0 separates the wrong way round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

if TYPE_CHECKING:
    from jaxtyping import Float, Float64
    from numpy import ndarray

BLOCK_FEATURES = 256


def auroc_of(positive: Float[ndarray, " P"], negative: Float[ndarray, " N"]) -> float:
    """AUROC of one score; NaN where either sample is empty.

    >>> auroc_of(np.array([3.0, 2.0]), np.array([1.0, 2.0]))
    0.875

    Raises:
        ValueError: samples that are not flat, or hold NaN.
    """
    if positive.ndim != 1 or negative.ndim != 1:
        raise ValueError(f"samples must be [P] and [N], got shapes {positive.shape} and {negative.shape}")
    return float(feature_aurocs(positive[:, None], negative[:, None])[0])


def feature_aurocs(
    positive: Float[ndarray, "P F"], negative: Float[ndarray, "N F"]
) -> Float64[ndarray, " F"]:
    """AUROC of every column, a block of columns at a time; all NaN where either sample is empty.

    For SAE codes use `rank_tests_of_codes`, which never writes out their zeros.

    Raises:
        ValueError: samples that do not share F, or hold NaN.
    """
    if positive.ndim != 2 or negative.ndim != 2 or positive.shape[1] != negative.shape[1]:
        raise ValueError(
            f"samples must be [P, F] and [N, F], got shapes {positive.shape} and {negative.shape}"
        )
    count, rest, features = len(positive), len(negative), positive.shape[1]
    areas = np.full(features, np.nan)
    if count == 0 or rest == 0:
        return areas
    for start in range(0, features, BLOCK_FEATURES):
        part = slice(start, start + BLOCK_FEATURES)
        scores = np.concatenate([positive[:, part], negative[:, part]])
        if np.isnan(scores).any():
            raise ValueError("scores must not be NaN; drop what could not be measured and say so")
        rank_sum = rankdata(scores, axis=0)[:count].sum(axis=0)
        areas[part] = (rank_sum - count * (count + 1) / 2) / (count * rest)
    return areas
