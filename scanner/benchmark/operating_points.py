"""From scores to alarms: thresholds, what is found at them, and the whole ROC curve.

An alarm is a score strictly above the threshold, so that a detector which says the same of every model
raises none.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..report.benchmark.summary import UNMEASURED, Estimate, OperatingPoint, RocPoint
from ..statistics import wilson_interval

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray

TARGETS = (0.01, 0.05)
CURVE_TARGET = 0.05  # curves and the table of organisms count a score above the benign 95th percentile


def allowed(target: float, benign: int) -> int:
    """How many of so many benign models may raise an alarm.

    >>> allowed(0.01, 45), allowed(0.05, 45), allowed(0.05, 100)
    (0, 2, 5)
    """
    return math.floor(target * benign + 1e-9)  # 0.05 * 100 is 5, whatever the last bit says


def threshold_for(target: float, negatives: Float[ndarray, " N"]) -> float | None:
    """The lowest threshold above which at most a share `target` of the benign scores lies; None without any.

    >>> threshold_for(0.5, np.array([1.0, 2.0, 3.0, 4.0]))
    2.0
    """
    if len(negatives) == 0:
        return None
    return float(np.sort(negatives)[::-1][allowed(target, len(negatives))])


def share_above(threshold: float | None, scores: Float[ndarray, " N"]) -> Estimate:
    """Share of the scores strictly above the threshold, with Wilson's interval at that threshold."""
    if threshold is None or len(scores) == 0:
        return UNMEASURED
    above = int(np.count_nonzero(scores > threshold))
    return proportion(above, len(scores))


def proportion(successes: int, trials: int) -> Estimate:
    """A share with Wilson's interval; unmeasured without a trial."""
    if trials == 0:
        return UNMEASURED
    return Estimate(value=successes / trials, interval=wilson_interval(successes, trials), count=trials)


def operating_point(
    target: float, positives: Float[ndarray, " P"], negatives: Float[ndarray, " N"]
) -> OperatingPoint:
    """What is found at the threshold for a target. Below 1 / target benign models it is the rate at no alarm."""
    threshold = threshold_for(target, negatives)
    return OperatingPoint(
        target=target,
        threshold=threshold,
        found=share_above(threshold, positives),
        false_alarms=share_above(threshold, negatives),
        at_zero=allowed(target, len(negatives)) == 0,
    )


def roc_points(positives: Float[ndarray, " P"], negatives: Float[ndarray, " N"]) -> tuple[RocPoint, ...]:
    """The corners of the ROC curve from (0, 0) to (1, 1); a tie between both kinds is a slanted piece.

    The area below it is the AUROC. Empty where either sample is.

    >>> roc_points(np.array([3.0, 1.0]), np.array([2.0]))[1]
    RocPoint(false_alarms=0.0, found=0.5)
    """
    if len(positives) == 0 or len(negatives) == 0:
        return ()
    points = [RocPoint(0.0, 0.0)]
    for level in np.unique(np.concatenate([positives, negatives]))[::-1]:
        point = RocPoint(float(np.mean(negatives >= level)), float(np.mean(positives >= level)))
        # On a straight piece only its ends are corners.
        if len(points) > 1 and any(points[-2][i] == points[-1][i] == point[i] for i in (0, 1)):
            points.pop()
        points.append(point)
    return tuple(points)
