"""A shelf as Markdown: one table, for a ticket or a page."""

from __future__ import annotations

from ...findings.shelf import ShelfResult
from ..benchmark.markdown import escaped
from ..figures import duration
from . import wording

HEADLINE = 300


def markdown(shelf: ShelfResult) -> str:
    """How many have which verdict, then every checkpoint."""
    lines = [
        f"{escaped(wording.counted(shelf))} ({escaped(wording.where(shelf))})",
        "",
        "| # | checkpoint | verdict | suspicion | what was found | time |",
        "|---|---|---|---|---|---|",
    ]
    for number, entry in enumerate(shelf.entries, start=1):
        found = " – ".join(part for part in (wording.headline(entry), wording.losses(entry)) if part)
        cells = (
            str(number), escaped(entry.name), wording.verdict(entry), wording.suspicion(entry),
            escaped(found, HEADLINE), duration(entry.seconds),
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
