"""Circuits, attribution graphs and audits as one HTML file: opens offline, loads nothing, every text stays text."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment
from markupsafe import Markup

from ....studies.circuits import AttributionGraph, AuditStudy, CircuitStudy
from ... import figures
from ...page.attachment import Attachment
from ...page.guarded_page import asset, page_environment, policy
from . import pictures
from .terminal import signed

ROWS = 150
LONGEST = 2_000  # characters of any one value, if a template forgot to cut it


Study = CircuitStudy | AttributionGraph | AuditStudy
_NAMES = {CircuitStudy: "circuit", AttributionGraph: "graph", AuditStudy: "audit"}
_TITLES = {CircuitStudy: "Circuit", AttributionGraph: "Attribution graph", AuditStudy: "Audits"}


def html(study: Study) -> str:
    """The whole page of one study."""
    style, script = f"{asset('report.css')}{asset('circuits.css')}", asset("report.js")
    return _environment().get_template("circuits.html").render(
        **_values(study), style=Markup(style), script=Markup(script), policy=policy(style, script)
    )  # fmt: skip


def attachment(study: Study) -> Attachment:
    """The study as a section of a scan's report."""
    body = _environment().get_template("attached_circuits.html").render(**_values(study))
    return Attachment(title=_TITLES[type(study)], body=Markup(body), style=asset("circuits.css"))


def _values(study: Study) -> dict[str, object]:
    picture: pictures.HeatMap | pictures.GraphPicture | None = None
    if isinstance(study, CircuitStudy):
        picture = pictures.heat_map(study)
    elif isinstance(study, AttributionGraph):
        picture = pictures.graph_picture(study)
    return {"study": study, "kind": _NAMES[type(study)], "picture": picture}


@cache
def _environment() -> Environment:
    environment = page_environment(LONGEST)
    environment.filters.update(
        signed=signed, area=figures.area, duration=figures.duration, interval=figures.share_with_interval
    )
    environment.globals.update(limits={"rows": ROWS}, steps=pictures.STEPS)
    return environment
