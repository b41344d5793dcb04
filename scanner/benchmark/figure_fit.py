"""What the single figures of a detector are worth together: logistic regression, a group held out in turn.

The population that such a classifier learns from is the trap of the field: it must be measured on kinds
of triggers, and on bases, that it has not seen.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ..report.benchmark.summary import UNMEASURED, Fitted
from .breakdown import group_of
from .calibration import LEFT_OUT
from .measures import area
from .records import Record
from .samples import Sample


class HeldOutScores(NamedTuple):
    """The score of each organism from a regression that was fitted without its group."""

    figures: tuple[str, ...]
    positive: dict[str, float]
    negative: dict[str, float]


def fits(sample: Sample) -> tuple[Fitted, ...]:
    """One regression for each way to hold out; none for a detector with fewer than two figures."""
    found = []
    for left_out in LEFT_OUT:
        scores = held_out_scores(sample, left_out)
        if len(scores.figures) < 2:
            continue
        # As everywhere, a backdoor without figures is missed and a benign model without any left out.
        positives = [scores.positive.get(r.truth.organism, -math.inf) for r in sample.backdoors]
        auroc = area(np.array(positives), np.array(list(scores.negative.values())))
        found.append(
            Fitted(left_out=left_out, figures=scores.figures, auroc=auroc if scores.positive else UNMEASURED)
        )
    return tuple(found)


def held_out_scores(sample: Sample, left_out: str) -> HeldOutScores:
    """The logit of every model that has figures, from a fit without its group.

    Both kinds weigh the same in every fit: otherwise a held-out group of benign models would raise the
    intercept that it is judged by. A group without which one kind is missing gets no scores.
    """
    usable = [record for record in sample.records if _finite(record)]
    names = tuple(sorted(set.intersection(*(set(record.figures) for record in usable)))) if usable else ()
    result = HeldOutScores(names, {}, {})
    if len(names) < 2:
        return result
    values = np.array([[record.figures[name] for name in names] for record in usable])
    labels = np.array([record.truth.kind == "backdoor" for record in usable])
    groups = np.array([group_of(record, left_out) for record in usable])
    for name in np.unique(groups):
        inside = groups == name
        if len(set(labels[~inside].tolist())) < 2:
            continue
        model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
        model.fit(values[~inside], labels[~inside])
        logits = model.decision_function(values[inside])
        for record, logit in zip(np.array(usable, dtype=object)[inside], logits, strict=True):
            side = result.positive if record.truth.kind == "backdoor" else result.negative
            side[record.truth.organism] = float(logit)
    return result


def _finite(record: Record) -> bool:
    return bool(record.figures) and all(math.isfinite(value) for value in record.figures.values())
