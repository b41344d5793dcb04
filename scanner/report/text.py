"""The plain text format: the terminal's report without colour, at a fixed width."""

from __future__ import annotations

from io import StringIO

from rich.console import Console, RenderableType

from ..findings import ScanResult
from . import terminal

WIDTH = 100


def render(result: ScanResult) -> str:
    """The report as plain text."""
    return plain(terminal.report(result))


def plain(renderable: RenderableType) -> str:
    """Anything Rich can draw as plain text; the same on every machine, whatever its terminal or environment."""
    console = Console(
        file=StringIO(),
        width=WIDTH,
        color_system=None,
        force_terminal=False,
        force_jupyter=False,
        legacy_windows=False,
        highlight=False,
        emoji=False,
        markup=False,
        _environ={},
    )
    with console.capture() as capture:
        console.print(renderable)
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())
