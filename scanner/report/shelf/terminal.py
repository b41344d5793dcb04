"""A shelf in the terminal: one row a checkpoint."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from ...findings.shelf import ShelfResult
from ..escaping import cut
from ..evidence_tables import cell, table
from ..figures import duration
from ..terminal import STYLES
from . import wording

HEADLINE = 300


def terminal(shelf: ShelfResult) -> Group:
    """How many have which verdict, then every checkpoint in the order in which it was given."""
    rows = table("#", "checkpoint", "verdict", "suspicion", "what was found", "time", wide="what was found")
    for number, entry in enumerate(shelf.entries, start=1):
        found = Text(cut(wording.headline(entry), limit=HEADLINE), overflow="fold")
        if entry.losses:
            found.append(f"\n{cut(wording.losses(entry), limit=HEADLINE)}", style="dim")
        rows.add_row(
            str(number),
            cell(entry.name, style="bold"),
            Text(wording.verdict(entry), style="bold red" if entry.result is None else STYLES[entry.verdict]),
            wording.suspicion(entry),
            found,
            duration(entry.seconds),
        )
    parts: list[RenderableType] = [
        Text(wording.counted(shelf), style="bold"),
        rows,
        Text(cut(wording.where(shelf)), style="dim"),
    ]
    return Group(*parts)
