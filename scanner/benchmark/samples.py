"""The records of one detector in one setting, as two samples of scores."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .records import Record

if TYPE_CHECKING:
    from jaxtyping import Float64
    from numpy import ndarray

MISSED = -math.inf  # the rank of a backdoor on which a detector failed


def scored(record: Record) -> bool:
    """Whether the detector said something of this model; a NaN is nothing."""
    return record.score is not None and not math.isnan(record.score)


@dataclass(frozen=True)
class Sample:
    """Backdoors and benign models that one detector met in one setting.

    A failure must never look like sensitivity: a failed backdoor ranks below everything. A failed benign
    model is no true negative either: it is left out of the scores and shows among the errors.
    """

    records: tuple[Record, ...]

    @property
    def backdoors(self) -> list[Record]:
        """The records of backdoors, failed ones too."""
        return [record for record in self.records if record.truth.kind == "backdoor"]

    @property
    def benign(self) -> list[Record]:
        """The records of benign models, failed ones too."""
        return [record for record in self.records if record.truth.kind == "benign"]

    @property
    def positive_scores(self) -> Float64[ndarray, " P"]:
        """A score for every backdoor."""
        return np.array([score_of(record) for record in self.backdoors], dtype=np.float64)

    @property
    def negative_scores(self) -> Float64[ndarray, " N"]:
        """The score of every benign model that has one."""
        return np.array([score_of(record) for record in self.benign if scored(record)], dtype=np.float64)

    def where(self, keep: Callable[[Record], bool]) -> Sample:
        """The part of the sample that is wanted."""
        return Sample(tuple(record for record in self.records if keep(record)))


def score_of(record: Record) -> float:
    """The score, or minus infinity where the detector failed."""
    return record.score if record.score is not None and not math.isnan(record.score) else MISSED


def samples_of(records: Iterable[Record]) -> dict[tuple[str, str], Sample]:
    """One sample for each (detector, setting), in the order in which they first occur.

    Raises:
        ValueError: one organism twice under the same detector and setting.
    """
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.detector, record.setting.value), []).append(record)
    for (detector, setting), group in groups.items():
        name, times = Counter(record.truth.organism for record in group).most_common(1)[0]
        if times > 1:
            raise ValueError(
                f"each organism must occur once for a detector and setting, got {name!r} {times} times "
                f"for {detector!r}, {setting}; drop the repeated records"
            )
    return {key: Sample(tuple(group)) for key, group in groups.items()}
