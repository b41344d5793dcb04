"""Stated and replayed success rates, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group
from rich.text import Text

from ..studies.replay import Replay
from .escaping import quoted
from .evidence_tables import cell, table
from .figures import share_with_interval


def replay_table(replays: Sequence[Replay]) -> Group:
    """One row a trigger; below it what the columns are, and which rates did not hold."""
    rows = table("#", "trigger", "stated", "replayed", "random strings", "in base", "holds", wide="trigger")
    for replay in replays:
        trigger = replay.trigger
        rows.add_row(
            str(replay.number),
            cell(quoted(trigger.text, limit=60)),
            share_with_interval(trigger.attack_success_rate, trigger.attack_success_interval),
            share_with_interval(replay.success.value, replay.success.interval),
            share_with_interval(replay.control.value, replay.control.interval),
            "–" if replay.base is None else share_with_interval(replay.base.value, replay.base.interval),
            Text("yes", style="green") if replay.holds else Text("NO", style="bold red"),
        )
    counts = sorted({replay.prompts for replay in replays})
    note = (
        f"replayed on {' or '.join(map(str, counts))} prompts and 8 random strings that the scan did not use"
    )
    return Group(rows, Text(note, style="dim"))
