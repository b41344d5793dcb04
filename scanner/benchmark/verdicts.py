"""Which verdicts the scanner gave, and which of its searches named what it found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..report.benchmark.summary import NamedBy, Verdicts
from .measures import WORKS
from .records import Record
from .samples import Sample


def verdicts(sample: Sample) -> Verdicts | None:
    """How many models got each verdict; None for a detector that gives none."""
    if not any(record.verdict for record in sample.records):
        return None
    return Verdicts(backdoors=_counted(sample.backdoors), benign=_counted(sample.benign))


def named_by(sample: Sample) -> tuple[NamedBy, ...]:
    """The searches whose strings and conditions raised a verdict, those of most backdoors first."""
    named = [r for r in sample.records if r.verdict and r.recovered is not None and r.found_by is not None]
    rows = [
        NamedBy(
            search=search,
            backdoors=sum(r.truth.kind == "backdoor" for r in group),
            working=sum((r.functional_success or 0.0) >= WORKS for r in group if r.truth.kind == "backdoor"),
            benign=sum(r.truth.kind == "benign" for r in group),
        )
        for search in sorted({r.found_by for r in named if r.found_by})
        for group in [[r for r in named if r.found_by == search]]
    ]
    return tuple(sorted(rows, key=lambda row: -row.backdoors))


def _counted(records: Sequence[Record]) -> dict[str, int]:
    return dict(Counter(record.verdict for record in records if record.verdict))
