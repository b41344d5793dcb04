"""Curves over a detector's own settings: the width of a dictionary, the number of prompts."""

from __future__ import annotations

from collections.abc import Mapping

from ..report.benchmark.summary import Curve, CurvePoint
from .measures import mean_share, success_of
from .operating_points import CURVE_TARGET, share_above, threshold_for
from .samples import Sample
from .tuning import taken_apart


def setting_curves(samples: Mapping[tuple[str, str], Sample]) -> dict[tuple[str, str], tuple[Curve, ...]]:
    """The curves that the tuned detectors of a run make up, by the first of each and its setting.

    Each point has a threshold of its own: the 95th percentile of that detector's benign scores.
    """
    families: dict[tuple[str, str, str], list[tuple[float, str]]] = {}
    for detector, setting in samples:
        if (parts := taken_apart(detector)) and (value := _number(parts.value)) is not None:
            families.setdefault((setting, parts.detector, parts.setting), []).append((value, detector))
    found: dict[tuple[str, str], tuple[Curve, ...]] = {}
    for (setting, _, axis), members in families.items():
        if len(members) < 2:
            continue
        points = tuple(_point(value, samples[name, setting]) for value, name in sorted(members))
        first = min(members)[1]
        found[first, setting] = (*found.get((first, setting), ()), Curve(axis=axis, points=points))
    return found


def _number(text: str) -> float | None:
    """The place of a setting on an axis; None where it is a word."""
    try:
        return float(text)
    except ValueError:
        return None


def _point(value: float, sample: Sample) -> CurvePoint:
    return CurvePoint(
        at=value,
        span=(value, value),
        detected=share_above(threshold_for(CURVE_TARGET, sample.negative_scores), sample.positive_scores),
        functional_success=mean_share([success_of(record) for record in sample.backdoors]),
    )
