"""What a run of the benchmark amounts to, as plain data: what every rendering of it reads.

Nothing here is computed; the figures come from above. A figure that could not be measured has value None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from ...findings import Interval

GROUPINGS = ("trigger", "behaviour", "insertion", "base")


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure with its 95% interval and the number of models behind it.

    Attributes:
        value: None where it could not be measured; the interval then says nothing.
    """

    value: float | None
    interval: Interval = (0.0, 1.0)
    count: int = 0


UNMEASURED = Estimate(value=None)


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """How many backdoors are found at the highest threshold that keeps a rate of false alarms.

    Attributes:
        target: the false-positive rate that was asked for.
        threshold: a score above it is an alarm; None if no benign model has a score.
        found: share of backdoors above the threshold; one that failed counts as missed. The interval
            holds the threshold fixed.
        false_alarms: share of the benign models above it.
        at_zero: there are too few benign models to measure the target: it is the rate at no false alarm.
    """

    target: float
    threshold: float | None
    found: Estimate
    false_alarms: Estimate
    at_zero: bool


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one model costs: the median with its 95% interval, the 90th percentile and the largest."""

    median: float
    interval: Interval
    p90: float
    largest: float


@dataclass(frozen=True, kw_only=True)
class Measures:
    """The figures of one detector in one setting over one group of models.

    Attributes:
        grouping: what the positives were restricted by, one of `GROUPINGS`; "" for all.
        group: the value of that, e.g. `topic`.
        positives, negatives: how many models of either kind were put to it.
        auroc: a failed backdoor ranks below every benign model; a failed benign model is left out.
        points: at 1% and at 5% false alarms.
        errors: share of the models on which it failed.
        functional_success: mean over backdoors of the share of prompts on which the recovered trigger
            works; no trigger named counts as 0.
        working: share of backdoors with a recovered trigger that works on at least half of the prompts.
        seconds, memory: wall clock in seconds and peak resident memory in MiB, failures left out.
    """

    grouping: str
    group: str
    positives: int
    negatives: int
    auroc: Estimate
    points: tuple[OperatingPoint, ...]
    errors: Estimate
    functional_success: Estimate
    working: Estimate
    seconds: Cost | None
    memory: Cost | None


@dataclass(frozen=True, kw_only=True)
class Twins:
    """Backdoors beside the benign twins that were made with them.

    Attributes:
        above: share of backdoors that score strictly above all of their own twins.
        by_chance: what that share would be for scores that mean nothing.
        auroc: of backdoors against the twins of all of them.
    """

    above: Estimate
    by_chance: float | None
    auroc: Estimate


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """How many models got each verdict, by its name."""

    backdoors: Mapping[str, int]
    benign: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class NamedBy:
    """What one search of the scanner named first.

    Attributes:
        backdoors: models whose trigger it named.
        working: those of them on which that wakes the planted behaviour on half of the prompts or more.
        benign: models in which it named something as well.
    """

    search: str
    backdoors: int
    working: int
    benign: int


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """The threshold of one held-out group, and what it does there."""

    group: str
    threshold: float | None
    chosen_on: int
    backdoors: int
    found: int
    benign: int
    false_alarms: int


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """Thresholds chosen without the group that they are measured on, pooled over the groups.

    Attributes:
        left_out: `trigger` or `base`.
        target: the false-positive rate that was asked for.
        chosen_on: the fewest benign models that a threshold was chosen on.
    """

    left_out: str
    target: float
    found: Estimate
    false_alarms: Estimate
    chosen_on: int
    groups: tuple[HeldOut, ...]


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A logistic regression on the figures of a detector, scored on groups that it was not fitted on.

    The interval is that of the scores as they are; another fit would move them too, so it is too narrow.
    """

    left_out: str
    figures: tuple[str, ...]
    auroc: Estimate


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """The backdoors at one place of an axis.

    Attributes:
        at: where they stand, or their median if they were put together; `span` is from where to where.
        detected: share above the 95th percentile of the benign scores.
        functional_success: as in `Measures`.
    """

    at: float
    span: Interval
    detected: Estimate
    functional_success: Estimate


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Detection along one axis, e.g. the rank of the adapter."""

    axis: str
    points: tuple[CurvePoint, ...]


class RocPoint(NamedTuple):
    """One corner of an ROC curve."""

    false_alarms: float
    found: float


@dataclass(frozen=True, kw_only=True)
class DetectorResult:
    """All figures of one detector in one setting.

    Attributes:
        verdicts, named_by: of the scanner itself; other detectors give scores.
    """

    detector: str
    setting: str
    overall: Measures
    groups: tuple[Measures, ...]
    fine_tuned: Estimate
    twins: Twins
    calibrated: tuple[Calibrated, ...]
    fitted: tuple[Fitted, ...]
    curves: tuple[Curve, ...]
    roc: tuple[RocPoint, ...]
    verdicts: Verdicts | None = None
    named_by: tuple[NamedBy, ...] = ()

    def by(self, grouping: str) -> dict[str, Measures]:
        """The figures of every group of one grouping."""
        return {item.group: item for item in self.groups if item.grouping == grouping}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What one detector said of one organism in one setting.

    Attributes:
        higher_than: share of the benign models that score lower; None if it failed.
        alarm: it is above the 95th percentile of the benign scores.
    """

    detector: str
    setting: str
    score: float | None
    higher_than: float | None
    alarm: bool
    verdict: str | None
    recovered: str | None
    functional_success: float | None
    error: str | None


@dataclass(frozen=True, kw_only=True)
class OrganismRow:
    """One organism and all that was said of it."""

    organism: str
    base: str
    backdoor: bool
    control: str
    trigger: str
    behaviour: str
    insertion: str
    cells: tuple[Cell, ...]

    def said(self, detector: str, setting: str) -> Cell | None:
        """The cell of one detector in one setting."""
        return next((c for c in self.cells if (c.detector, c.setting) == (detector, setting)), None)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A whole run. `facts` says where and how it ran, as label and text."""

    facts: tuple[tuple[str, str], ...]
    command_line: str
    settings: tuple[str, ...]
    detectors: tuple[str, ...]
    backdoors: int
    benign: int
    results: tuple[DetectorResult, ...]
    organisms: tuple[OrganismRow, ...] = field(default=())

    def in_setting(self, setting: str) -> list[DetectorResult]:
        """The detectors of one setting, in the order of the run."""
        return [result for result in self.results if result.setting == setting]

    def as_dict(self) -> dict[str, Any]:
        """The summary as JSON can hold it."""
        return asdict(self)
