"""Circuits, attribution graphs and audits as one HTML file: opens offline, loads nothing, every text stays text."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment
from markupsafe import Markup

from ....studies.circuits import AttributionGraph, AuditStudy, CircuitStudy
from ... import figures
from ...page.guarded_page import asset, page_environment, policy
from . import pictures
from .terminal import signed

ROWS = 150
LONGEST = 2_000  # characters of any one value, if a template forgot to cut it


def html(study: CircuitStudy | AttributionGraph | AuditStudy) -> str:
    """The whole page of one study."""
    style, script = f"{asset('report.css')}{asset('circuits.css')}", asset("report.js")
    return _environment().get_template("circuits.html").render(
        study=study,
        kind={CircuitStudy: "circuit", AttributionGraph: "graph", AuditStudy: "audit"}[type(study)],
        style=Markup(style),
        script=Markup(script),
        policy=policy(style, script),
        picture=pictures.heat_map(study)
        if isinstance(study, CircuitStudy)
        else pictures.graph_picture(study)
        if isinstance(study, AttributionGraph)
        else None,
    )  # fmt: skip


@cache
def _environment() -> Environment:
    environment = page_environment(LONGEST)
    environment.filters.update(
        signed=signed, area=figures.area, duration=figures.duration, interval=figures.share_with_interval
    )
    environment.globals.update(limits={"rows": ROWS}, steps=pictures.STEPS)
    return environment
