"""From results to exit codes, beside what a baseline accepts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from ..accepted import Baseline, apply, expired, unused
from ..apart.scan import DIED
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


def accepted(results: Sequence[ScanResult | None], known: Baseline | None) -> list[ScanResult | None]:
    """The results with what a baseline accepts marked; what the baseline no longer does is said.

    Args:
        results: one a checkpoint, None where it has none. What a scan that did not end would have found nobody knows:
            beside one, nothing is said of entries that can go.
    """
    if known is None:
        return list(results)
    for entry in expired(known):
        say(f"baseline: {entry.rule_id} was accepted until {entry.expires}: {entry.reason}")
    ended = [result for result in results if result is not None and not _died(result)]
    for entry in unused(known, ended) if len(ended) == len(results) else []:
        say(f"baseline: {entry.rule_id} {entry.location} was not found any more; the entry can go")
    marked = [apply(result, known) if result is not None else None for result in results]
    count = sum(f.suppressed is not None for result in marked if result is not None for f in result.findings)
    alone = marked[0] if len(marked) == 1 else None
    remaining = f"; without them the verdict is {alone.remaining}" if alone is not None else ""
    say(f"baseline: {count} findings accepted{remaining}")
    return marked


def accepted_alone(result: ScanResult, known: Baseline | None) -> ScanResult:
    """The same for one result."""
    (marked,) = accepted([result], known)
    assert marked is not None
    return marked


def _died(result: ScanResult) -> bool:
    return any(found.rule_id == DIED for found in result.findings)


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
    return gravest({_code(entry, fail_on) for entry in entries})


def gravest(codes: Collection[int]) -> int:
    """The gravest of several exit codes."""
    return next((code for code in _GRAVITY if code in codes), EXIT_FAILED)


def _code(entry: ShelfEntry, fail_on: FailOn) -> int:
    if entry.result is not None:
        return result_exit_code(entry.result, fail_on)
    return entry.failure.exit_code if entry.failure is not None else EXIT_FAILED
