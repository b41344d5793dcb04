"""The phase transition as an SVG picture: the update's turning above, the behaviour's rate below, over training steps."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import NamedTuple

from ...studies.misalignment import Transition, Window
from ..escaping import visible

WIDTH, HEIGHT = 640, 420
LEFT, RIGHT = 62, 20
UPPER, LOWER = (48, 190), (236, 378)  # top and bottom of the two panels
TURNED, TRAINED, ELSEWHERE, SHADE = "#4269d0", "#9c9c9c", "#d1382c", "#f3e7c4"


class _Panel(NamedTuple):
    """A panel with its top and bottom in pixels, and the value at its top."""

    top: int
    bottom: int
    highest: float

    def y(self, value: float) -> float:
        return self.bottom - (self.bottom - self.top) * value / self.highest


def transition_svg(found: Transition) -> str:
    """The picture; it loads nothing from elsewhere."""
    steps = [row.step for row in found.saved]
    highest = max(row.to_the_end for row in found.saved)
    upper = _Panel(*UPPER, highest=10.0 * -(-highest // 10))
    lower = _Panel(*LOWER, highest=1.0)

    def x(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (step - steps[0]) / max(steps[-1] - steps[0], 1)

    def line(panel: _Panel, values: Sequence[float], colour: str) -> str:
        points = " ".join(f"{x(s):.1f},{panel.y(v):.1f}" for s, v in zip(steps, values, strict=True))
        return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'

    def shade(window: Window | None, panel: _Panel) -> str:
        if window is None:
            return ""
        left, right = x(window.first), x(window.last)
        return (
            f'<rect x="{left:.1f}" y="{panel.top}" width="{max(right - left, 2):.1f}" '
            f'height="{panel.bottom - panel.top}" fill="{SHADE}"/>'
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12" fill="#222">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        _text(LEFT, 18, f"{found.organism}: rank-1 training on {found.trained_kind} alone", bold=True),
        shade(found.window, upper),
        shade(found.behaviour_window, lower),
        *_axis(upper, [0, upper.highest / 2, upper.highest], "°", 1),
        *_axis(lower, [0, 0.5, 1.0], "%", 100),
        line(upper, [row.to_the_end for row in found.saved], TURNED),
        line(lower, [row.bad_trained.value for row in found.saved], TRAINED),
        line(lower, [row.bad_elsewhere.value for row in found.saved], ELSEWHERE),
        _text(
            LEFT,
            UPPER[0] - 8,
            "angle of the update to where it ends (shaded: half of all turning)",
            colour=TURNED,
        ),
        _text(LEFT, LOWER[0] - 8, f"bad answers: {found.trained_kind}", colour="#6b6b6b"),
        _text(
            LEFT + 130,
            LOWER[0] - 8,
            "every other kind (shaded: a tenth to nine tenths of its end)",
            colour=ELSEWHERE,
        ),
    ]
    marked = steps[:: max(1, len(steps) // 6)]
    parts += [_text(x(step), LOWER[1] + 16, str(step), anchor="middle") for step in marked]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, "training step", anchor="middle"))
    return "\n".join([*(part for part in parts if part), "</svg>", ""])


def _axis(panel: _Panel, values: Sequence[float], unit: str, factor: float) -> list[str]:
    """Grid lines with their labels."""
    made = []
    for value in values:
        y = panel.y(value)
        made.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        made.append(_text(LEFT - 6, y + 4, f"{value * factor:.0f}{unit}", anchor="end"))
    return made


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", colour: str = "#222", bold: bool = False
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"{weight}>{html.escape(visible(text))}</text>'
