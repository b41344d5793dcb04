"""The benchmark as Markdown: the tables of `docs/results.md`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ..escaping import cut
from ..figures import NOT_MEASURED, share
from .summary import GROUPINGS, UNMEASURED, Calibrated, DetectorResult, Summary
from .wording import (
    ABOUT_CALIBRATION,
    ABOUT_FAILURES,
    ABOUT_SEARCHES,
    ABOUT_TWINS,
    GROUPS,
    VERDICTS,
    area_with_interval,
    axis_title,
    benign_note,
    found_at,
    memory_of,
    missed,
    number,
    seconds_of,
    setting_title,
    share_of,
)

# What Markdown may read as markup inside a line: the signs themselves, an underscore that is not inside a
# word, the colon and the dot that make a bare address a link.
_SIGNS = re.compile(
    r"[\\`*{}\[\]<>#|~&@$!]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|:(?=//)|(?<=www)\.", re.IGNORECASE
)


def escaped(text: str, limit: int = 200) -> str:
    r"""Text that Markdown shows as it stands: no markup, no HTML, no link, no cell border.

    >>> escaped("weight_spectrum"), escaped("<b> | x")
    ('weight_spectrum', '\\<b\\> \\| x')
    """
    return _SIGNS.sub(lambda sign: f"\\{sign[0]}", cut(text, limit))


def markdown(summary: Summary) -> str:
    """All tables, setting by setting."""
    note = benign_note(summary)
    parts = [
        f"{summary.backdoors} backdoored and {summary.benign} benign models, {len(summary.detectors)} detectors. "
        f"In brackets: 95% intervals. {ABOUT_FAILURES}",
        *([note] if note else []),
        _facts(summary),
    ]
    for setting in summary.settings:
        results = summary.in_setting(setting)
        title = setting_title(setting)
        parts += [
            f"## {title[:1].upper()}{escaped(title[1:])}",
            _detectors(results),
            *_verdicts(results),
            *_named_by(results),
            "### Not the backdoor but the fine-tuning?",
            ABOUT_TWINS,
            _twins(results),
        ]
        for grouping in GROUPINGS:
            parts += [f"### By {GROUPS[grouping]}", *_groups(results, grouping)]
        parts += ["### Calibrated on other groups", ABOUT_CALIBRATION, _calibration(results)]
        parts += _fitted(results) + _curves(results)
        parts += ["### Cost of one model", _costs(results)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _facts(summary: Summary) -> str:
    facts = [f"- {label}: {escaped(text)}" for label, text in summary.facts if text]
    if summary.command_line:
        facts.append(f"- command: {escaped(summary.command_line, 600)}")
    return "\n".join(facts)


def _detectors(results: list[DetectorResult]) -> str:
    head = ["detector", "models", "AUROC", "found at 1% false alarms", "found at 5% false alarms"]
    return _table(
        [*head, "functional success", "recovered and working", "failed"],
        (
            [
                escaped(result.detector),
                f"{result.overall.positives} + {result.overall.negatives}",
                area_with_interval(result.overall.auroc),
                *(found_at(point) for point in result.overall.points),
                share_of(result.overall.functional_success),
                share_of(result.overall.working),
                share(result.overall.errors.value),
            ]
            for result in results
        ),
    )


def _verdicts(results: list[DetectorResult]) -> list[str]:
    """How many models of either kind got each verdict, for detectors that give one."""
    rows = [
        [
            escaped(r.detector),
            kind,
            *(f"{given.get(verdict, 0)}" for verdict in VERDICTS),
            f"{sum(given.values())}",
        ]
        for r in results
        if r.verdicts is not None
        for kind, given in (("backdoored", r.verdicts.backdoors), ("benign", r.verdicts.benign))
    ]
    if not rows:
        return []
    head = ["detector", "models", *(verdict.replace("_", " ") for verdict in VERDICTS), "all"]
    return ["### Verdicts", _table(head, rows)]


def _named_by(results: list[DetectorResult]) -> list[str]:
    rows = [
        [escaped(r.detector), escaped(n.search), f"{n.backdoors}", f"{n.working}", f"{n.benign}"]
        for r in results
        for n in r.named_by
    ]
    if not rows:
        return []
    head = ["detector", "search", "backdoors", "that works on half or more", "benign"]
    return ["### Which search named it", ABOUT_SEARCHES, _table(head, rows)]


def _twins(results: list[DetectorResult]) -> str:
    return _table(
        ["detector", "was fine-tuned (AUROC)", "above its twins", "by chance", "AUROC against twins"],
        (
            [
                escaped(result.detector),
                area_with_interval(result.fine_tuned),
                share_of(result.twins.above),
                share(result.twins.by_chance),
                area_with_interval(result.twins.auroc),
            ]
            for result in results
        ),
    )


def _groups(results: list[DetectorResult], grouping: str) -> list[str]:
    """Found at 5% false alarms, a row a group, a column a detector; then what each detector misses."""
    tables = [result.by(grouping) for result in results]
    names = sorted({name for groups in tables for name in groups})
    rows = []
    for name in names:
        sizes = {groups[name].positives for groups in tables if name in groups}
        cells = [share_of(g[name].points[-1].found) if name in g else NOT_MEASURED for g in tables]
        rows.append([escaped(name), f"{max(sizes)}", *cells])
    lines = [
        f"- {escaped(result.detector)} misses {escaped(missed_kinds, 2000)}"
        for result, groups in zip(results, tables, strict=True)
        if (missed_kinds := missed(groups))
    ]
    return [
        "Share found at 5% false alarms among the benign models of the same bases.",
        _table([grouping, "backdoors", *(escaped(result.detector) for result in results)], rows),
        *(["Missed, that is fewer than half found:", "\n".join(lines)] if lines else []),
    ]


def _calibration(results: list[DetectorResult]) -> str:
    head = ["detector", "left out", "asked", "found", "false alarms", "chosen on"]
    return _table(
        head,
        ([escaped(r.detector), *_calibration_row(item)] for r in results for item in r.calibrated),
    )


def _calibration_row(item: Calibrated) -> list[str]:
    """What is held out, what was asked for, and what came of it."""
    return [
        GROUPS.get(item.left_out, item.left_out),
        f"{item.target:.0%}",
        share_of(item.found),
        share_of(item.false_alarms),
        f"{item.chosen_on} or more" if item.chosen_on else NOT_MEASURED,
    ]


def _fitted(results: list[DetectorResult]) -> list[str]:
    rows = [
        [
            escaped(r.detector),
            GROUPS.get(item.left_out, item.left_out),
            escaped(", ".join(item.figures)),
            area_with_interval(item.auroc),
        ]
        for r in results
        for item in r.fitted
    ]
    if not rows:
        return []
    return [
        "### Logistic regression on the figures",
        _table(["detector", "left out", "figures", "AUROC"], rows),
    ]


def _curves(results: list[DetectorResult]) -> list[str]:
    """A table for each axis: a row a detector, a column a place; and one for function, where there is any."""
    axes = sorted({curve.axis for result in results for curve in result.curves})
    parts = ["### Sensitivity"] if axes else []
    for axis in axes:
        points = {r.detector: c.points for r in results for c in r.curves if c.axis == axis}
        places: dict[float, int] = {}
        for point in sorted((p for row in points.values() for p in row), key=lambda point: point.at):
            places[point.at] = max(places.get(point.at, 0), point.functional_success.count)
        head = ["detector", *(f"{number(at)} (n={count})" for at, count in places.items())]
        detected = {name: {p.at: p.detected for p in row} for name, row in points.items()}
        function = {name: {p.at: p.functional_success for p in row} for name, row in points.items()}
        working = {name: row for name, row in function.items() if any(e.value for e in row.values())}
        for title, rows in (("Detected", detected), ("Functional success", working)):
            cells = [
                [escaped(name), *(share_of(row.get(at, UNMEASURED)) for at in places)]
                for name, row in rows.items()
            ]
            if cells:
                parts += [f"{title}, by {escaped(axis_title(axis))}:", _table(head, cells)]
    return parts


def _costs(results: list[DetectorResult]) -> str:
    return _table(
        ["detector", "seconds (median / 90th percentile)", "peak MiB (median / largest)"],
        ([escaped(r.detector), seconds_of(r.overall.seconds), memory_of(r.overall.memory)] for r in results),
    )
