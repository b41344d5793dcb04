"""Organism by organism: what every detector said, and how unusual that is among the benign models."""

from __future__ import annotations

import bisect
from collections.abc import Mapping

from ..report.benchmark.summary import Cell, OrganismRow
from .operating_points import CURVE_TARGET, threshold_for
from .records import Record, Truth
from .samples import Sample, scored


def organism_rows(samples: Mapping[tuple[str, str], Sample]) -> tuple[OrganismRow, ...]:
    """Backdoors by kind of trigger, then benign models by kind of control."""
    truths: dict[str, Truth] = {}
    cells: dict[str, list[Cell]] = {}
    for sample in samples.values():
        benign = sorted(sample.negative_scores.tolist())
        threshold = threshold_for(CURVE_TARGET, sample.negative_scores)
        for record in sample.records:
            truths.setdefault(record.truth.organism, record.truth)
            cells.setdefault(record.truth.organism, []).append(_cell(record, benign, threshold))
    order = sorted(
        truths.values(), key=lambda t: (t.kind != "backdoor", t.control, t.trigger, t.base, t.organism)
    )
    return tuple(
        OrganismRow(
            organism=truth.organism,
            base=truth.base,
            backdoor=truth.kind == "backdoor",
            control=truth.control,
            trigger=truth.trigger,
            behaviour=truth.behaviour,
            insertion=truth.insertion,
            cells=tuple(cells[truth.organism]),
        )
        for truth in order
    )


def _cell(record: Record, benign: list[float], threshold: float | None) -> Cell:
    score = record.score if scored(record) else None
    lower = None if score is None or not benign else bisect.bisect_left(benign, score) / len(benign)
    return Cell(
        detector=record.detector,
        setting=record.setting.value,
        score=score,
        higher_than=lower,
        alarm=score is not None and threshold is not None and score > threshold,
        verdict=record.verdict,
        recovered=record.recovered,
        functional_success=record.functional_success,
        error=None if score is not None else (record.error or "no score"),
    )
