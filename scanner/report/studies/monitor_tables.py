"""What monitors are worth and what they cost, as Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence

from ...studies.monitoring import Caught, MonitorWorth, Overhead
from ..figures import NOT_MEASURED, area, share_with_interval


def worth_table(rows: Sequence[MonitorWorth]) -> str:
    """One row an organism: what each monitor catches, and the share of benign conversations that it stops."""
    lines = [
        "| organism | behaviour | held out | attacks | inside | on the answer | on prompt and answer "
        "| inside and answer | silence, no attack seen |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        caught = (row.internal, row.output, row.text, row.together, row.silence)
        cells = [
            row.organism,
            row.behaviour.replace("_", " "),
            row.held_out,
            str(row.attacks),
            *(_caught(one) for one in caught),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, _together(rows), ""])


def _together(rows: Sequence[MonitorWorth]) -> str:
    """All organisms: mean share caught, and the pooled share of false alarms."""
    cells = ["**mean**", "", "", str(sum(row.attacks for row in rows))]
    for name in ("internal", "output", "text", "together", "silence"):
        found: list[Caught] = [c for row in rows if (c := getattr(row, name)) is not None]
        if not found:
            cells.append(NOT_MEASURED)
            continue
        mean = sum(c.caught.value for c in found) / len(found)
        alarms = sum(c.false_alarms.hits for c in found) / max(sum(c.false_alarms.of for c in found), 1)
        cells.append(f"**{mean:.0%}**, {alarms:.1%}")
    return f"| {' | '.join(cells)} |"


def _caught(one: Caught | None) -> str:
    if one is None:
        return NOT_MEASURED
    return f"{share_with_interval(one.caught.value, one.caught.interval)}, {one.false_alarms.value:.1%}, {area(one.area)}"


def overhead_table(rows: Sequence[tuple[str, Overhead]]) -> str:
    """One row a monitor and batch size, by whichever clock the times were taken."""
    lines = [
        "| monitor | batch | tokens a second without | with | extra time |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {label} | {row.batch} | {row.plain_tokens_per_second:.0f} | {row.watched_tokens_per_second:.0f} "
        f"| {row.share:+.1%} ({row.interval[0]:+.1%} to {row.interval[1]:+.1%}) |"
        for label, row in rows
    ]
    return "\n".join([*lines, ""])
