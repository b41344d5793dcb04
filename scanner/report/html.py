"""The report as one HTML file: opens offline, loads nothing, runs nothing but the script it was written with.

Three things keep hostile text text: every value that a template prints is made visible and cut, then
escaped by Jinja; and a content security policy names the one style and the one script by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ..findings import ScanResult
from . import bars, figures, gate_figures, layer_sweep, rules, wording
from .escaping import cut, quoted

# Rows beyond these are in the JSON; they hold the file under 5 MB whatever a model says.
ROWS = 150
TRIGGERS = 25
CHARTS = 12
FILES = 500
EXAMPLES = 3
LONGEST = 4_000  # characters of any one value, if a template forgot to cut it


def render(result: ScanResult) -> str:
    """The whole report as the text of an HTML file."""
    style, script = _asset("report.css"), _asset("report.js")
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


def policy(style: str, script: str) -> str:
    """The content security policy that allows exactly this style and this script, and no request at all."""
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _asset(name: str) -> str:
    return files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        quoted=quoted,
        line=cut,
        share=figures.share,
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
        known_rules=rules.RULES,
        limits={"rows": ROWS, "triggers": TRIGGERS, "charts": CHARTS, "files": FILES, "examples": EXAMPLES},
        chart_size=(layer_sweep.WIDTH, layer_sweep.HEIGHT),
    )
    return environment


def _harmless(value: object) -> object:
    """Every value on its way into the page: text is cut and its hidden characters are spelt out."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return cut(value, limit=LONGEST)
    return value
