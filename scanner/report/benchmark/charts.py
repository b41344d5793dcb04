"""The geometry of the benchmark's charts: ROC curves with their corner, and sensitivity curves.

Coordinates only; the template draws them and the style sheet colours them by class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..page.layer_sweep import Tick
from .summary import Curve, CurvePoint, DetectorResult, Estimate, RocPoint, Summary
from .wording import area_with_interval, number, setting_title, share_of

ROC_WIDTH, ROC_HEIGHT = 360, 300
CURVE_WIDTH, CURVE_HEIGHT = 300, 190
CORNER = 0.1  # the share of false alarms that the enlarged corner reaches
LINES = 16  # colours and dashes that the style sheet tells apart
_LEFT, _RIGHT, _TOP, _BOTTOM = 42, 18, 10, 40
_DODGE = 5.0  # points of several settings at one place stand beside each other


class Line(NamedTuple):
    """One curve: the class that colours it, its SVG points, what to call it and what to say of it."""

    style: int
    points: str
    name: str
    text: str


@dataclass(frozen=True, kw_only=True)
class RocChart:
    """One panel of ROC curves."""

    reach: float
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[Line]
    chance: str


class Dot(NamedTuple):
    """One point of a sensitivity curve with the ends of its interval."""

    style: int
    x: float
    y: float
    low: float
    high: float
    text: str


@dataclass(frozen=True, kw_only=True)
class CurveChart:
    """One detector along one axis, a line for each setting."""

    detector: str
    axis: str
    x_ticks: list[Tick]
    counts: list[Tick]
    y_ticks: list[Tick]
    lines: list[Line]
    dots: list[Dot]


def roc_charts(summary: Summary, setting: str) -> tuple[RocChart, RocChart]:
    """The whole ROC of every detector in a setting, and its corner of few false alarms."""
    return _roc(summary, setting, 1.0), _roc(summary, setting, CORNER)


def _roc(summary: Summary, setting: str, reach: float) -> RocChart:
    x, y = _across(ROC_WIDTH, reach), _up(ROC_HEIGHT)
    marks = (0.0, 0.01, 0.05, 0.1) if reach < 1 else (0.0, 0.25, 0.5, 0.75, 1.0)
    results = [result for result in summary.in_setting(setting) if result.roc]
    return RocChart(
        reach=reach,
        x_ticks=[Tick(x(mark), f"{mark:.0%}") for mark in marks],
        y_ticks=[Tick(y(mark), f"{mark:.0%}") for mark in (0.0, 0.25, 0.5, 0.75, 1.0)],
        lines=[
            Line(
                style=style_of(summary, result.detector),
                points=" ".join(f"{x(p.false_alarms)},{y(p.found)}" for p in clipped(result.roc, reach)),
                name=result.detector,
                text=f"AUROC {area_with_interval(result.overall.auroc)}",
            )
            # The best is drawn last, on top.
            for result in sorted(results, key=_auroc)
        ],
        chance=f"{x(0)},{y(0)} {x(reach)},{y(reach)}",
    )


def style_of(summary: Summary, detector: str) -> int:
    """The class that a detector is drawn with, the same in every chart."""
    return summary.detectors.index(detector) % LINES


def clipped(roc: Sequence[RocPoint], reach: float) -> list[RocPoint]:
    """The curve up to `reach` false alarms, the last piece cut where it crosses.

    >>> clipped((RocPoint(0.0, 0.0), RocPoint(1.0, 1.0)), 0.1)[-1]
    RocPoint(false_alarms=0.1, found=0.1)
    """
    kept: list[RocPoint] = []
    for point in roc:
        if point.false_alarms <= reach:
            kept.append(point)
            continue
        last = kept[-1]
        part = (reach - last.false_alarms) / (point.false_alarms - last.false_alarms)
        kept.append(RocPoint(reach, last.found + part * (point.found - last.found)))
        break
    return kept


def curve_charts(summary: Summary, axis: str, functional: bool) -> list[CurveChart]:
    """One chart for each detector that has points on the axis.

    Args:
        functional: draw the functional success of the recovered trigger instead of detection; only of
            detectors that recover one at all.
    """
    pick = _functional if functional else _detected
    charts = []
    for detector in summary.detectors:
        curves = {
            result.setting: curve
            for result in summary.results
            if result.detector == detector
            for curve in result.curves
            if curve.axis == axis
        }
        if functional and not any(pick(p).value for curve in curves.values() for p in curve.points):
            continue
        if curves:
            charts.append(_curve_chart(detector, axis, curves, summary.settings, pick))
    return charts


def _curve_chart(
    detector: str,
    axis: str,
    curves: dict[str, Curve],
    settings: Sequence[str],
    pick: Callable[[CurvePoint], Estimate],
) -> CurveChart:
    places = sorted({point.at for curve in curves.values() for point in curve.points})
    y = _up(CURVE_HEIGHT)

    def x(at: float) -> float:
        # Evenly spaced: ranks and rates are chosen by doubling, and all must be told apart.
        room = CURVE_WIDTH - _LEFT - _RIGHT - 56
        place = 0.5 if len(places) == 1 else places.index(at) / (len(places) - 1)
        return round(_LEFT + 28 + place * room, 1)

    lines, dots = [], []
    shown = [setting for setting in settings if setting in curves]
    for order, setting in enumerate(shown):
        shift = (order - (len(shown) - 1) / 2) * _DODGE
        style = settings.index(setting)
        measured = [(p, value) for p in curves[setting].points if (value := pick(p).value) is not None]
        lines.append(
            Line(
                style=style,
                points=" ".join(f"{x(p.at) + shift:.1f},{y(value)}" for p, value in measured),
                name=setting_title(setting),
                text="",
            )
        )
        dots += [
            Dot(
                style=style,
                x=round(x(p.at) + shift, 1),
                y=y(value),
                low=y(pick(p).interval[0]),
                high=y(pick(p).interval[1]),
                text=f"{setting_title(setting)}, at {number(p.at)}: {share_of(pick(p))} of {pick(p).count}",
            )
            for p, value in measured
        ]
    counts = {
        at: max(pick(p).count for c in curves.values() for p in c.points if p.at == at) for at in places
    }
    return CurveChart(
        detector=detector,
        axis=axis,
        x_ticks=[Tick(x(at), number(at)) for at in places],
        counts=[Tick(x(at), f"n={counts[at]}") for at in places],
        y_ticks=[Tick(y(mark), f"{mark:.0%}") for mark in (0.0, 0.5, 1.0)],
        lines=lines,
        dots=dots,
    )


def _detected(point: CurvePoint) -> Estimate:
    return point.detected


def _functional(point: CurvePoint) -> Estimate:
    return point.functional_success


def _auroc(result: DetectorResult) -> float:
    value = result.overall.auroc.value
    return -1.0 if value is None else value


def _across(width: int, reach: float) -> Callable[[float], float]:
    return lambda value: round(_LEFT + value / reach * (width - _LEFT - _RIGHT), 1)


def _up(height: int) -> Callable[[float], float]:
    return lambda value: round(height - _BOTTOM - value * (height - _TOP - _BOTTOM), 1)
