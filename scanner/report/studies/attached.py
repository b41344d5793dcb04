"""Studies of circuits and of safety mechanisms as sections of a scan's report, or as tables behind its text."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import Environment
from markupsafe import Markup

from ...findings import Record
from ...studies.circuits import AttributionGraph, AuditStudy, CircuitStudy
from ...studies.safety import CatalogueComparison, JailbreakStudy, RefusalStudy, SafetyCatalogue
from ..page.attachment import Attachment
from ..page.guarded_page import page_environment
from ..text import plain
from .circuits import html, terminal
from .safety.comparison import comparison_report
from .safety.features import catalogue_report
from .safety.jailbreak import jailbreak_report
from .safety.refusal import refusal_report

if TYPE_CHECKING:
    from rich.console import RenderableType

LONGEST = 2_000  # characters of a line


class _Shown(NamedTuple):
    title: str
    tables: Callable[[Any], RenderableType]
    page: Callable[[Any], Attachment] | None = None


_SHOWN: dict[type[Record], _Shown] = {
    CircuitStudy: _Shown("Circuit", terminal.circuit_report, html.attachment),
    AttributionGraph: _Shown("Attribution graph", terminal.graph_report, html.attachment),
    AuditStudy: _Shown("Audits", terminal.audit_report, html.attachment),
    RefusalStudy: _Shown("Refusal direction", refusal_report),
    SafetyCatalogue: _Shown("Safety features", catalogue_report),
    CatalogueComparison: _Shown("Safety features compared", comparison_report),
    JailbreakStudy: _Shown("Jailbreak", jailbreak_report),
}
KINDS = tuple(_SHOWN)


def attachment_of(study: Record) -> Attachment:
    """A study as a section of the HTML report: with its pictures, or as the tables that the terminal shows."""
    shown = _SHOWN[type(study)]
    if shown.page is not None:
        return shown.page(study)
    body = _environment().get_template("attached_text.html").render(
        title=shown.title, lines=tables_of(study).splitlines()
    )  # fmt: skip
    return Attachment(title=shown.title, body=Markup(body))


def tables_of(study: Record) -> str:
    """A study as the text that the terminal shows."""
    return plain(_SHOWN[type(study)].tables(study))


@cache
def _environment() -> Environment:
    return page_environment(LONGEST)
