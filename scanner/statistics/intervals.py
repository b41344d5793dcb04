"""How far a share or an AUROC could be from what was counted: intervals that stay honest at 0 and 1.

Both invert a score test, so a perfect score on few samples still has a wide interval (the usual
DeLong or Wald interval has width 0 there).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scipy.special import ndtri

if TYPE_CHECKING:
    from collections.abc import Callable

BISECTIONS = 60  # halves [0, 1] down to below the spacing of float64


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Where the true rate lies, given so many successes in so many trials (Wilson's score interval).

    Without a trial every rate is possible: (0.0, 1.0).

    >>> low, high = wilson_interval(12, 12)
    >>> round(low, 3), high
    (0.758, 1.0)
    >>> wilson_interval(0, 0)
    (0.0, 1.0)

    Raises:
        ValueError: not 0 <= successes <= trials, or a confidence outside (0, 1).

    Source: Wilson 1927; recommended in Brown, Cai and DasGupta 2001.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"successes must be from 0 to trials, got {successes} of {trials}")
    z = _normal_quantile(confidence)
    if trials == 0:
        return 0.0, 1.0
    share, weight = successes / trials, z * z / trials
    middle = (share + weight / 2) / (1 + weight)
    reach = z / (1 + weight) * math.sqrt(share * (1 - share) / trials + weight / (4 * trials))
    # The ends are exact there; rounding would leave them a bit inside or outside.
    low = 0.0 if successes == 0 else max(0.0, middle - reach)
    high = 1.0 if successes == trials else min(1.0, middle + reach)
    return low, high


def auroc_interval(
    auroc: float, positives: int, negatives: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Where the true AUROC lies, given the measured one and the two sample sizes (Newcombe's method 5).

    The Hanley-McNeil variance, taken at the *true* value as in Wilson's interval. Without a sample on
    either side every value is possible.

    >>> low, high = auroc_interval(1.0, 20, 20)
    >>> round(low, 2), high
    (0.9, 1.0)

    Raises:
        ValueError: an AUROC outside [0, 1], negative sizes, or a confidence outside (0, 1).

    Source: Newcombe 2006, Statistics in Medicine 25, 559-573, method 5; Hanley and McNeil 1982.
    """
    if not 0.0 <= auroc <= 1.0:
        raise ValueError(f"auroc must be in [0, 1], got {auroc}")
    if positives < 0 or negatives < 0:
        raise ValueError(f"sample sizes must be 0 or more, got {positives} and {negatives}")
    z = _normal_quantile(confidence)
    if positives == 0 or negatives == 0:
        return 0.0, 1.0
    size = (positives + negatives) / 2 - 1

    def plausible(truth: float) -> bool:
        spread = 1 + size * (1 - truth) / (2 - truth) + size * truth / (1 + truth)
        variance = truth * (1 - truth) * spread / (positives * negatives)
        return abs(auroc - truth) <= z * math.sqrt(variance)

    low = 0.0 if auroc == 0.0 else _edge(plausible, inside=auroc, outside=0.0)
    high = 1.0 if auroc == 1.0 else _edge(plausible, inside=auroc, outside=1.0)
    return low, high


def _edge(plausible: Callable[[float], bool], *, inside: float, outside: float) -> float:
    """The last plausible value on the way from inside to outside."""
    for _ in range(BISECTIONS):
        middle = (inside + outside) / 2
        if plausible(middle):
            inside = middle
        else:
            outside = middle
    return inside


def _normal_quantile(confidence: float) -> float:
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must be in (0, 1), got {confidence}")
    return float(ndtri((1 + confidence) / 2))
