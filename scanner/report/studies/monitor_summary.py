"""What a monitor raised, in a few lines for the terminal; the alerts themselves are JSON lines."""

from __future__ import annotations

from collections import Counter

from rich.console import Group
from rich.text import Text

from ...studies.monitoring import WatchRun
from ..evidence_tables import cell, table
from ..figures import share


def monitor_summary(run: WatchRun) -> Group:
    """One row a watch: its threshold and how many conversations raised it; above it the whole."""
    raised = Counter(alert.watch for alert in run.alerts)
    rows = table("watch", "threshold", "raised in", wide="watch")
    for name in run.watches:
        rows.add_row(cell(name), f"{run.thresholds.levels[name].threshold:.2f}", str(raised[name]))
    whole = f"{run.alarmed} of {run.conversations} conversations raised an alarm ({share(run.alarmed / max(run.conversations, 1))})"
    note = (
        f"thresholds: at most {share(run.thresholds.rate)} of neutral conversations raise any alarm, set on "
        f"{run.thresholds.conversations} of them"
    )
    return Group(Text(whole, style="bold"), rows, Text(note, style="dim"))
