"""Probe AUROC by layer, with the yardsticks that make it readable: the geometry of one small chart each.

A probe alone says little: the chart puts beside it the best of many random directions and, where there
is a base, the same recipe in the base.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ...findings import Probe
from ..figures import area

WIDTH, HEIGHT = 340, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 12, 12, 36
_MOST_LABELS = 12


class Tick(NamedTuple):
    """A labelled place on an axis."""

    at: float
    label: str


class Dot(NamedTuple):
    """A probe: its place, the ends of its interval, and what to say of it."""

    x: float
    y: float
    low: float
    high: float
    text: str


class Mark(NamedTuple):
    """The yardstick of one layer: the best random direction."""

    at_x: float
    at_y: float


@dataclass(frozen=True, kw_only=True)
class Chart:
    """The probes of one kind for one trigger. Lines are SVG point lists, empty where nothing was measured."""

    trigger: str
    kind: str
    directions: int
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    dots: list[Dot]
    marks: list[Mark]
    probe: str
    random: str
    base: str


def charts(probes: Sequence[Probe]) -> list[Chart]:
    """One chart for each trigger and kind of probe, in the order of the result."""
    groups: dict[tuple[str, str], list[Probe]] = {}
    for probe in probes:
        groups.setdefault((probe.trigger, probe.kind), []).append(probe)
    return [_chart(group) for group in groups.values()]


def _chart(group: list[Probe]) -> Chart:
    group = sorted(group, key=lambda probe: probe.layer)
    layers = sorted({probe.layer for probe in group})
    lowest = min(
        0.5,
        *(min(p.auroc_interval[0], p.random_direction_auroc, p.auroc, p.base_auroc or 1.0) for p in group),
    )
    floor = 0.5 if lowest >= 0.5 else 0.25 if lowest >= 0.25 else 0.0

    def x(layer: int) -> float:
        room = WIDTH - _LEFT - _RIGHT
        place = 0.5 if len(layers) == 1 else layers.index(layer) / (len(layers) - 1)
        return round(_LEFT + 16 + place * (room - 32), 1)

    def y(value: float) -> float:
        place = (min(1.0, max(floor, value)) - floor) / (1.0 - floor)
        return round(HEIGHT - _BOTTOM - place * (HEIGHT - _TOP - _BOTTOM), 1)

    def line(values: list[tuple[int, float | None]]) -> str:
        return " ".join(f"{x(layer)},{y(value)}" for layer, value in values if value is not None)

    step = 0.1 if floor >= 0.5 else 0.25
    levels = [1.0 - step * n for n in range(11) if 1.0 - step * n >= floor]
    every = -(-len(layers) // _MOST_LABELS)
    return Chart(
        trigger=group[0].trigger,
        kind=group[0].kind,
        directions=max(probe.random_directions for probe in group),
        x_ticks=[Tick(x(layer), str(layer)) for layer in layers[::every]],
        y_ticks=[Tick(y(level), f"{level:.{1 if floor == 0.5 else 2}f}") for level in levels],
        dots=[
            Dot(
                x=x(probe.layer),
                y=y(probe.auroc),
                low=y(probe.auroc_interval[0]),
                high=y(probe.auroc_interval[1]),
                text=f"layer {probe.layer}: AUROC {area(probe.auroc)}, "
                f"best random direction {area(probe.random_direction_auroc)}",
            )
            for probe in group
        ],
        marks=[Mark(x(probe.layer), y(probe.random_direction_auroc)) for probe in group],
        probe=line([(probe.layer, probe.auroc) for probe in group]),
        random=line([(probe.layer, probe.random_direction_auroc) for probe in group]),
        base=line([(probe.layer, probe.base_auroc) for probe in group]),
    )  # fmt: skip
