"""ROC curves of the probes and their corner of few false alarms: the geometry of two small charts each.

Over thousands of benign prompts only the corner counts, where hardly one of them raises an alarm; the whole curve hides it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ...findings import Probe
from ..figures import area, share

WIDTH, HEIGHT = 300, 250
CORNER = 0.1  # false positive rate at the right edge of the second chart
LINES = 4  # layers drawn in one chart, the best ones
LEFT, RIGHT, TOP, BOTTOM = 40, 12, 12, 40


class Tick(NamedTuple):
    """A labelled place on an axis."""

    at: float
    label: str


class Line(NamedTuple):
    """One layer's curve: its rank among the drawn ones, its points in both charts, and its name."""

    rank: int
    whole: str
    corner: str
    label: str


@dataclass(frozen=True, kw_only=True)
class RocChart:
    """The curves of one kind of probe for one trigger.

    Attributes:
        finest: the lowest false positive rate that can be told from none, in words; empty where unknown.
        left_out: layers that are not drawn.
    """

    trigger: str
    kind: str
    lines: list[Line]
    finest: str
    left_out: int


def charts(probes: Sequence[Probe]) -> list[RocChart]:
    """One chart for each trigger and kind of probe, in the order of the result; without curves there are none."""
    groups: dict[tuple[str, str], list[Probe]] = {}
    for probe in probes:
        if probe.roc:
            groups.setdefault((probe.trigger, probe.kind), []).append(probe)
    return [_chart(group) for group in groups.values()]


def caught_at(probe: Probe, alarms: float) -> float | None:
    """The share of triggered prompts that the probe catches while at most `alarms` of the others raise an alarm."""
    return max((caught for alarm, caught in probe.roc if alarm <= alarms), default=None)


def x_ticks(widest: float) -> list[Tick]:
    """Places on the axis of false positives, which ends at `widest`."""
    return [Tick(_x(widest * n / 4, widest), share(widest * n / 4)) for n in range(0, 5, 2)]


def y_ticks() -> list[Tick]:
    """Places on the axis of true positives."""
    return [Tick(_y(n / 4), share(n / 4)) for n in range(5)]


def _chart(group: list[Probe]) -> RocChart:
    best = sorted(group, key=lambda probe: (-probe.auroc, probe.layer))
    negatives = best[0].test_negatives
    return RocChart(
        trigger=best[0].trigger,
        kind=best[0].kind,
        lines=[
            Line(
                rank,
                _points(probe.roc, 1.0),
                _points(_within(probe.roc, CORNER), CORNER),
                f"layer {probe.layer}: AUROC {area(probe.auroc)}, at no more than 1% false alarms it catches "
                f"{share(caught_at(probe, 0.01))}",
            )
            for rank, probe in enumerate(best[:LINES], start=1)
        ],
        finest=f"one of {negatives} is {100 / negatives:.2g}%" if negatives else "",
        left_out=max(0, len(best) - LINES),
    )


def _within(points: Sequence[tuple[float, float]], widest: float) -> list[tuple[float, float]]:
    """The part of a curve up to `widest`, cut where it crosses."""
    kept = [point for point in points if point[0] <= widest]
    beyond = next((point for point in points if point[0] > widest), None)
    if kept and beyond is not None:
        (x0, y0), (x1, y1) = kept[-1], beyond
        kept.append((widest, y0 + (y1 - y0) * (widest - x0) / (x1 - x0)))
    return kept


def _points(points: Sequence[tuple[float, float]], widest: float) -> str:
    return " ".join(f"{_x(alarm, widest)},{_y(caught)}" for alarm, caught in points)


def _x(alarm: float, widest: float) -> float:
    return round(LEFT + min(1.0, max(0.0, alarm / widest)) * (WIDTH - LEFT - RIGHT), 1)


def _y(caught: float) -> float:
    return round(HEIGHT - BOTTOM - min(1.0, max(0.0, caught)) * (HEIGHT - TOP - BOTTOM), 1)
