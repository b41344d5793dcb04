"""From results to exit codes, beside what a baseline accepts."""

from __future__ import annotations

from collections.abc import Iterable

from ..accepted import Baseline, apply, expired, unused
from ..console import say
from ..findings import ScanResult, Verdict
from ..findings.shelf import ShelfEntry
from .options import (
    EXIT_COMPLETE,
    EXIT_FAILED,
    EXIT_FINDINGS,
    EXIT_NOTHING_SCANNABLE,
    EXIT_USAGE,
    FailOn,
)

# As in a verdict, where a finding outranks a gap: a backdoor beside a scan that failed is first of all a backdoor.
_GRAVITY = (EXIT_FINDINGS, EXIT_FAILED, EXIT_USAGE, EXIT_NOTHING_SCANNABLE, EXIT_COMPLETE)


def accepted(result: ScanResult, known: Baseline | None) -> ScanResult:
    """The result with what a baseline accepts marked; what the baseline no longer does is said."""
    if known is None:
        return result
    say_expired(known)
    for entry in unused(known, result):
        say(f"baseline: {entry.rule_id} {entry.location} was not found any more; the entry can go")
    marked = apply(result, known)
    count = sum(f.suppressed is not None for f in marked.findings)
    say(f"baseline: {count} findings accepted; without them the verdict is {marked.remaining}")
    return marked


def say_expired(known: Baseline) -> None:
    """Say which entries of a baseline accept nothing any more."""
    for entry in expired(known):
        say(f"baseline: {entry.rule_id} was accepted until {entry.expires}: {entry.reason}")


def result_exit_code(result: ScanResult, fail_on: FailOn) -> int:
    """The exit code of a scan: by its verdict, or by the one that remains where a baseline accepts findings."""
    return verdict_exit_code(result.remaining or result.verdict, fail_on)


def verdict_exit_code(verdict: Verdict, fail_on: FailOn) -> int:
    """The exit code of a scan that ran; it depends on nothing else."""
    if verdict is Verdict.INCOMPLETE:
        return EXIT_FAILED
    failing = {Verdict.CONFIRMED} if fail_on is FailOn.CONFIRMED else {Verdict.CONFIRMED, Verdict.SUSPICIOUS}
    return EXIT_FINDINGS if verdict in failing else EXIT_COMPLETE


def shelf_exit_code(entries: Iterable[ShelfEntry], fail_on: FailOn) -> int:
    """The gravest of the codes that the checkpoints would have alone."""
    codes = {_code(entry, fail_on) for entry in entries}
    return next((code for code in _GRAVITY if code in codes), EXIT_FAILED)


def _code(entry: ShelfEntry, fail_on: FailOn) -> int:
    if entry.result is not None:
        return result_exit_code(entry.result, fail_on)
    return entry.failure.exit_code if entry.failure is not None else EXIT_FAILED
