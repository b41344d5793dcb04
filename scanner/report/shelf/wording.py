"""The words that every format uses for a shelf."""

from __future__ import annotations

from ...findings.shelf import ShelfEntry, ShelfResult
from ..figures import NOT_MEASURED, duration
from ..wording import TITLES

FAILED = "failed"


def verdict(entry: ShelfEntry) -> str:
    """The verdict in words; `failed` where there is no result."""
    return FAILED if entry.result is None else TITLES[entry.verdict]


def suspicion(entry: ShelfEntry) -> str:
    """The suspicion to three places; a dash where nothing of the behaviour was measured."""
    if entry.result is None or not entry.result.behaviour_measured:
        return NOT_MEASURED
    return f"{entry.result.suspicion:.3f}"


def headline(entry: ShelfEntry) -> str:
    """What was found, or why there is no result."""
    if entry.result is not None:
        return entry.result.headline
    return entry.failure.message if entry.failure is not None else ""


def counted(shelf: ShelfResult) -> str:
    """How many checkpoints there are, and how many have each verdict."""
    words = {verdict.value: title for verdict, title in TITLES.items()} | {FAILED: FAILED}
    counts = ", ".join(f"{count} {words[name]}" for name, count in shelf.verdicts.items())
    return f"{len(shelf.entries)} checkpoints: {counts}"


def where(shelf: ShelfResult) -> str:
    """Where and how long the scans ran, and beside which base."""
    base = f", base {shelf.base}" if shelf.base else ", no base"
    return f"engine {shelf.engine}, {shelf.workers} at a time, {duration(shelf.seconds)}{base}"


def losses(entry: ShelfEntry) -> str:
    """How often it was begun again, and why the last time."""
    if not entry.losses:
        return ""
    return f"begun {len(entry.losses) + 1} times: {entry.losses[-1]}"
