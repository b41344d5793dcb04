"""The benchmark in the terminal: one table a setting."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.text import Text

from ..escaping import cut
from ..evidence_tables import cell, table
from ..figures import area, share
from .summary import DetectorResult, Summary
from .wording import (
    ABOUT_FAILURES,
    area_with_interval,
    benign_note,
    found_at,
    memory_of,
    missed,
    seconds_of,
    setting_title,
    share_of,
)


def terminal(summary: Summary) -> Group:
    """What each detector finds, setting by setting, and what it misses."""
    parts: list[RenderableType] = [
        Text(
            f"{summary.backdoors} backdoored and {summary.benign} benign models, "
            f"{len(summary.detectors)} detectors",
            style="bold",
        )
    ]
    for setting in summary.settings:
        results = summary.in_setting(setting)
        parts += [
            Rule(Text(setting_title(setting)), align="left", style="dim"),
            _detectors(results),
            _cost_and_controls(results),
            *_misses(results),
        ]
    note = benign_note(summary)
    parts += [Text(text, style="dim") for text in (note, ABOUT_FAILURES) if text]
    return Group(*parts)


def _detectors(results: list[DetectorResult]) -> RenderableType:
    # Bold where chance is ruled out.
    rows = table("detector", "AUROC", "found at 1%", "found at 5%", "recovers one that works", "failed")
    for result in results:
        overall = result.overall
        rows.add_row(
            cell(result.detector, style="bold"),
            Text(area_with_interval(overall.auroc), style="bold" if overall.auroc.interval[0] > 0.5 else ""),
            *(found_at(point) for point in overall.points),
            share_of(overall.working),
            Text(share(overall.errors.value), style="red" if overall.errors.value else "dim"),
        )
    return rows


def _cost_and_controls(results: list[DetectorResult]) -> RenderableType:
    rows = table("detector", "was fine-tuned", "above its twins", "functional", "seconds / p90", "MiB / most")
    for result in results:
        chance = result.twins.by_chance
        rows.add_row(
            cell(result.detector, style="bold"),
            area(result.fine_tuned.value),
            share(result.twins.above.value) + ("" if chance is None else f" (chance {share(chance)})"),
            share(result.overall.functional_success.value),
            seconds_of(result.overall.seconds),
            memory_of(result.overall.memory),
        )
    return rows


def _misses(results: list[DetectorResult]) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for result in results:
        if names := missed(result.by("trigger")):
            text = Text.assemble(cell(result.detector, style="bold"), " misses ", cut(names, 1000))
            lines.append(text)
    return [*lines, Text()]
