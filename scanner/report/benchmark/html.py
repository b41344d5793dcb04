"""The benchmark as one HTML file: opens offline, loads nothing; the same guards as the report of a scan."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment
from markupsafe import Markup

from .. import figures
from ..escaping import cut
from ..page.guarded_page import asset, page_environment, policy
from ..wording import TITLES
from . import charts as benchmark_charts
from . import wording as benchmark_wording
from .summary import GROUPINGS, Cell, Estimate, Summary

# Rows beyond these are in the JSON; they hold the file small whatever a model says.
ROWS = 1_500
ORGANISMS = 400
RECOVERED = 300
LONGEST = 2_000  # characters of any one value, if a template forgot to cut it
STEPS = 6  # shades of the tables that are coloured by a share

_VERDICTS = {verdict.value: title for verdict, title in TITLES.items()}


def html(summary: Summary) -> str:
    """The whole page."""
    style, script = f"{asset('report.css')}{asset('benchmark.css')}", asset("report.js")
    axes = sorted({curve.axis for result in summary.results for curve in result.curves})
    return _environment().get_template("benchmark.html").render(
        summary=summary,
        style=Markup(style),
        script=Markup(script),
        policy=policy(style, script),
        note=benchmark_wording.benign_note(summary),
        rocs=[(setting, *benchmark_charts.roc_charts(summary, setting)) for setting in summary.settings],
        curves=[
            (
                axis,
                benchmark_charts.curve_charts(summary, axis, functional=False),
                benchmark_charts.curve_charts(summary, axis, functional=True),
            )
            for axis in axes
        ],
        recovered=[
            (organism, cell) for organism in summary.organisms for cell in organism.cells if cell.recovered
        ],
    )  # fmt: skip


def shade(share: float | None) -> str:
    """The class that colours a share in [0, 1].

    >>> shade(0.0), shade(1.0), shade(None)
    ('shade0', 'shade5', 'unmeasured')
    """
    if share is None:
        return "unmeasured"
    return f"shade{min(STEPS - 1, int(share * STEPS))}"


def said(cell: Cell | None) -> str:
    """What a detector said of an organism, as short as it can be put."""
    if cell is None:
        return figures.NOT_MEASURED
    if cell.score is None:
        return "✗ failed"
    return benchmark_wording.number(cell.score) + (" ●" if cell.alarm else "")


def verdict_of(cell: Cell | None) -> str:
    """The verdict in words; empty where there is none."""
    if cell is None or cell.verdict is None:
        return ""
    return _VERDICTS.get(cell.verdict, cut(cell.verdict, 40))


def half(estimate: Estimate) -> bool:
    """Whether fewer than half were found."""
    return estimate.value is not None and estimate.value < benchmark_wording.HALF


@cache
def _environment() -> Environment:
    environment = page_environment(LONGEST)
    environment.filters.update(
        shade=shade,
        setting=benchmark_wording.setting_title,
        axis=benchmark_wording.axis_title,
        area=benchmark_wording.area_with_interval,
        share_of=benchmark_wording.share_of,
        found=benchmark_wording.found_at,
        number=benchmark_wording.number,
        seconds=benchmark_wording.seconds_of,
        memory=benchmark_wording.memory_of,
        median=benchmark_wording.cost_interval,
    )
    environment.globals.update(
        wording=benchmark_wording,
        charts=benchmark_charts,
        groupings=GROUPINGS,
        steps=STEPS,
        said=said,
        verdict_of=verdict_of,
        half=half,
        limits={"rows": ROWS, "organisms": ORGANISMS, "recovered": RECOVERED},
    )
    return environment
