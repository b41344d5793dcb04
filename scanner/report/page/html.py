"""The report as one HTML file: opens offline, loads nothing, runs nothing but the script it was written with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from jinja2 import Environment
from markupsafe import Markup

from ...findings import ScanResult
from .. import figures, wording
from ..rules import registry as rules
from . import bars, gate_figures, heat_maps, layer_sweep, roc_charts
from .attachment import Attachment
from .guarded_page import asset, page_environment, policy

# Rows beyond these are in the JSON; they hold the file under 5 MB whatever a model says.
ROWS = 100
TRIGGERS = 25
CHARTS = 8
FILES = 500
EXAMPLES = 3
LONGEST = 4_000  # characters of any one value, if a template forgot to cut it


def render(result: ScanResult, attachments: Sequence[Attachment] = ()) -> str:
    """The whole report as the text of an HTML file, with studies of the same model as sections of it."""
    style = asset("report.css") + "".join(dict.fromkeys(attached.style for attached in attachments))
    script = asset("report.js")
    template = _environment().get_template("report.html")
    findings = sorted(result.findings, key=lambda finding: wording.GRAVITY.index(finding.level))
    return template.render(
        result=result,
        suspicion=wording.suspicion(result),
        style=Markup(style),
        script=Markup(script),
        policy=policy(style, script),
        findings=[finding for finding in findings if not rules.is_of_files(finding.rule_id)],
        file_findings=[finding for finding in findings if rules.is_of_files(finding.rule_id)],
        triggers=[
            (
                trigger,
                gate_figures.conditions(trigger),
                bars.trigger_bars(trigger),
                gate_figures.nearest_control(trigger),
            )
            for trigger in result.triggers[:TRIGGERS]
        ],
        numbers={trigger.text: n for n, trigger in reversed(list(enumerate(result.triggers, start=1)))},
        layer_bars=bars.layer_bars(result.features)[:ROWS],
        charts=layer_sweep.charts(result.probes),
        rocs=roc_charts.charts(result.probes),
        feature_maps=heat_maps.feature_maps(result.features),
        feature_map_count=sum(bool(feature.token_maps) for feature in result.features),
        probe_maps=heat_maps.probe_maps(result.probes),
        probe_map_count=sum(bool(probe.token_maps) for probe in result.probes),
        attachments=attachments,
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
        caught_at=roc_charts.caught_at,
        rate=gate_figures.success,
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
        roc_size=(roc_charts.WIDTH, roc_charts.HEIGHT),
        roc_corner=roc_charts.CORNER,
        roc_x_ticks=roc_charts.x_ticks,
        roc_y_ticks=roc_charts.y_ticks,
    )
    return environment
