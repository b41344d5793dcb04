"""How numbers are written, the same in every report."""

from __future__ import annotations

import math

from ..findings import Interval

NOT_MEASURED = "–"


def share(value: float | None) -> str:
    """A share in [0, 1] as a percentage; one that is almost but not quite 0 or 1 does not round to it.

    >>> share(0.974), share(1.0), share(0.9996), share(0.0004), share(None)
    ('97%', '100%', '>99%', '<1%', '–')
    """
    if value is None or math.isnan(value):
        return NOT_MEASURED
    percent = round(100 * value)
    if percent == 100 and value < 1:
        return ">99%"
    if percent == 0 and value > 0:
        return "<1%"
    return f"{percent}%"


def share_with_interval(value: float, interval: Interval) -> str:
    """A share with its 95% interval.

    >>> share_with_interval(0.97, (0.91, 0.99))
    '97% (91–99%)'
    """
    low, high = (round(100 * bound) for bound in interval)
    return f"{share(value)} ({low}–{high}%)"


def area(value: float | None) -> str:
    """An AUROC, to three places."""
    return NOT_MEASURED if value is None or math.isnan(value) else f"{value:.3f}"


def chance(value: float) -> str:
    """A q-value: plain down to 0.001, a power of ten below.

    >>> chance(0.0312), chance(0.0), chance(3.2e-9)
    ('0.031', '0', '3e-09')
    """
    if value == 0:
        return "0"
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"


def effect(value: float) -> str:
    """A standardised difference; one without spread to speak of is only called large.

    >>> effect(6.24), effect(1e6), effect(-1e6)
    ('6.2', '>999', '<-999')
    """
    if abs(value) > 999:
        return ">999" if value > 0 else "<-999"
    return f"{value:.1f}"


def duration(seconds: float) -> str:
    """Seconds, or minutes and seconds from two minutes on.

    >>> duration(3.21), duration(125)
    ('3.2 s', '2 min 5 s')
    """
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
