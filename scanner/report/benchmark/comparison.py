"""Two runs of the benchmark beside each other: what `bench --compare` shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.text import Text

from ..escaping import cut
from ..evidence_tables import cell, cut_note, table
from ..figures import NOT_MEASURED
from .summary import Estimate
from .wording import area_with_interval, number, setting_title

ROWS = 40


class Key(NamedTuple):
    """One row of a run."""

    organism: str
    detector: str
    setting: str


@dataclass(frozen=True, kw_only=True)
class RowChange:
    """What moved in a row that both runs have: (before, after), None where it did not move.

    Attributes:
        truth: the organism itself is another one under the same name.
    """

    key: Key
    score: tuple[float | None, float | None] | None
    verdict: tuple[str | None, str | None] | None
    truth: bool


@dataclass(frozen=True, kw_only=True)
class AreaChange:
    """The AUROC of one detector in one setting in both runs."""

    detector: str
    setting: str
    before: Estimate
    after: Estimate

    @property
    def difference(self) -> float | None:
        """After minus before."""
        if self.before.value is None or self.after.value is None:
            return None
        return self.after.value - self.before.value

    @property
    def overlap(self) -> bool | None:
        """Whether the 95% intervals overlap. Where they do, the change may be chance."""
        if self.difference is None:
            return None
        low = max(self.before.interval[0], self.after.interval[0])
        return low <= min(self.before.interval[1], self.after.interval[1])


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything that differs; `shared` counts the rows that both runs have."""

    tolerance: float
    shared: int
    appeared: tuple[Key, ...]
    disappeared: tuple[Key, ...]
    changed: tuple[RowChange, ...]
    areas: tuple[AreaChange, ...]

    @property
    def same(self) -> bool:
        """Nothing came, went or moved."""
        return not (self.appeared or self.disappeared or self.changed)


def lines(comparison: Comparison) -> list[str]:
    """The comparison as plain lines, every difference on its own."""
    return [
        headline(comparison),
        *(f"appeared: {_row(key)}" for key in comparison.appeared),
        *(f"disappeared: {_row(key)}" for key in comparison.disappeared),
        *(f"changed: {_row(item.key)}: {what_changed(item)}" for item in comparison.changed),
        *(
            f"AUROC of {cut(item.detector, 60)}, {setting_title(item.setting)}: "
            f"{area_with_interval(item.before)} -> {area_with_interval(item.after)}, {judged(item)}"
            for item in comparison.areas
        ),
    ]


def comparison_report(comparison: Comparison) -> RenderableType:
    """The comparison for the terminal."""
    parts: list[RenderableType] = [Text(headline(comparison), style="bold")]
    if comparison.areas:
        areas = table("detector", "setting", "AUROC before", "after", "difference", "")
        for item in comparison.areas:
            areas.add_row(
                cell(item.detector),
                cell(setting_title(item.setting)),
                area_with_interval(item.before),
                area_with_interval(item.after),
                NOT_MEASURED if item.difference is None else f"{item.difference:+.3f}",
                Text(judged(item), style="bold yellow" if item.overlap is False else "dim"),
            )
        parts.append(areas)
    rows = [
        *((key, "appeared") for key in comparison.appeared),
        *((key, "disappeared") for key in comparison.disappeared),
        *((item.key, what_changed(item)) for item in comparison.changed),
    ]
    if rows:
        changes = table("organism", "detector", "setting", "change", wide="change")
        for key, change in rows[:ROWS]:
            changes.add_row(
                cell(key.organism), cell(key.detector), cell(setting_title(key.setting)), cell(change)
            )
        parts += [changes, *cut_note(ROWS, len(rows))]
    return Group(*parts)


def headline(comparison: Comparison) -> str:
    """The differences counted."""
    if comparison.same:
        return f"{comparison.shared} rows in both, none moved by more than {comparison.tolerance:g}"
    return (
        f"{comparison.shared} rows in both, {len(comparison.changed)} of them changed; "
        f"{len(comparison.appeared)} appeared, {len(comparison.disappeared)} disappeared"
    )


def what_changed(item: RowChange) -> str:
    """What moved in one row."""
    parts = ["another organism of this name"] if item.truth else []
    if item.score:
        before, after = (number(value) if value is not None else "failed" for value in item.score)
        parts.append(f"score {before} -> {after}")
    if item.verdict:
        before, after = (cut(word, 60) if word is not None else "none" for word in item.verdict)
        parts.append(f"verdict {before} -> {after}")
    return ", ".join(parts)


def judged(item: AreaChange) -> str:
    """Whether the change of an AUROC stands out."""
    if item.overlap is None:
        return "not measured in both"
    if item.difference == 0:
        return "same"
    return "intervals overlap" if item.overlap else "intervals apart"


def _row(key: Key) -> str:
    return f"{cut(key.organism, 100)}, {cut(key.detector, 60)}, {setting_title(cut(key.setting, 40))}"
