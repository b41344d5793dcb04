"""Two runs of the benchmark beside each other: what came, what went, what moved."""

from __future__ import annotations

import math

from ..report.benchmark.comparison import AreaChange, Comparison, Key, RowChange
from .measures import area
from .records import Benchmark, Record
from .samples import samples_of, scored

TOLERANCE = 0.01


def compare(before: Benchmark, after: Benchmark, tolerance: float = TOLERANCE) -> Comparison:
    """What changed from one run to the other.

    A score moved if it differs by more than `tolerance`, both absolutely and as a share of the larger.

    Raises:
        ValueError: a tolerance below 0, or one organism twice under a detector and setting.
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be 0 or more, got {tolerance}")
    old, new = _rows(before), _rows(after)
    shared = [key for key in old if key in new]
    return Comparison(
        tolerance=tolerance,
        shared=len(shared),
        appeared=tuple(key for key in new if key not in old),
        disappeared=tuple(key for key in old if key not in new),
        changed=tuple(
            change for key in shared if (change := _row_change(key, old[key], new[key], tolerance))
        ),
        areas=_area_changes(before, after),
    )


def _rows(benchmark: Benchmark) -> dict[Key, Record]:
    return {
        Key(record.truth.organism, record.detector, record.setting.value): record
        for sample in samples_of(benchmark.records).values()
        for record in sample.records
    }


def _row_change(key: Key, old: Record, new: Record, tolerance: float) -> RowChange | None:
    before = old.score if scored(old) else None
    after = new.score if scored(new) else None
    change = RowChange(
        key=key,
        score=(before, after) if _moved(before, after, tolerance) else None,
        verdict=(old.verdict, new.verdict) if old.verdict != new.verdict else None,
        truth=old.truth != new.truth,
    )
    return change if change.score or change.verdict or change.truth else None


def _moved(before: float | None, after: float | None, tolerance: float) -> bool:
    if before is None or after is None:
        return before is not after
    return not math.isclose(before, after, rel_tol=tolerance, abs_tol=tolerance)


def _area_changes(before: Benchmark, after: Benchmark) -> tuple[AreaChange, ...]:
    """The AUROC of every detector and setting that both runs have, each over its own organisms."""
    old, new = samples_of(before.records), samples_of(after.records)
    return tuple(
        AreaChange(
            detector=detector,
            setting=setting,
            before=area(old[detector, setting].positive_scores, old[detector, setting].negative_scores),
            after=area(new[detector, setting].positive_scores, new[detector, setting].negative_scores),
        )
        for detector, setting in old
        if (detector, setting) in new
    )
