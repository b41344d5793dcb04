"""The report as one HTML file: opens offline, loads nothing, runs nothing but the script it was written with."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment
from markupsafe import Markup

from ..findings import ScanResult
from . import bars, figures, gate_figures, layer_sweep, rules, wording
from .guarded_page import asset, page_environment, policy

# Rows beyond these are in the JSON; they hold the file under 5 MB whatever a model says.
ROWS = 150
TRIGGERS = 25
CHARTS = 12
FILES = 500
EXAMPLES = 3
LONGEST = 4_000  # characters of any one value, if a template forgot to cut it


def render(result: ScanResult) -> str:
    """The whole report as the text of an HTML file."""
    style, script = asset("report.css"), asset("report.js")
    template = _environment().get_template("report.html")
    return template.render(
        result=result,
        style=Markup(style),
        script=Markup(script),
        policy=policy(style, script),
        findings=sorted(result.findings, key=lambda finding: wording.GRAVITY.index(finding.level)),
        triggers=[
            (trigger, gate_figures.conditions(trigger), bars.trigger_bars(trigger))
            for trigger in result.triggers[:TRIGGERS]
        ],
        numbers={trigger.text: n for n, trigger in reversed(list(enumerate(result.triggers, start=1)))},
        layer_bars=bars.layer_bars(result.features)[:ROWS],
        charts=layer_sweep.charts(result.probes),
        timing_bars=bars.timing_bars(result.timings)[:ROWS],
    )


@cache
def _environment() -> Environment:
    environment = page_environment(LONGEST)
    environment.filters.update(
        area=figures.area,
        chance=figures.chance,
        effect=figures.effect,
        duration=figures.duration,
        behaviour=wording.behaviour,
        plugin_line=wording.plugin_line,
    )
    environment.globals.update(
        titles=wording.TITLES,
        meanings=wording.MEANINGS,
        level_signs=wording.LEVEL_SIGNS,
        positions=wording.POSITIONS,
        rule_for=rules.rule_for,
        accepted_line=wording.accepted_line,
        known_rules=rules.RULES,
        limits={"rows": ROWS, "triggers": TRIGGERS, "charts": CHARTS, "files": FILES, "examples": EXAMPLES},
        chart_size=(layer_sweep.WIDTH, layer_sweep.HEIGHT),
    )
    return environment
