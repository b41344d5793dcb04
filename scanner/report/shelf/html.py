"""A shelf as an HTML index: one row a checkpoint, with a link to the report of its own where that was written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from ...findings.shelf import ShelfResult
from .. import figures
from ..page import html as single
from ..page.guarded_page import asset, page_environment, policy
from ..wording import MEANINGS
from . import wording

LONGEST = 2_000  # characters of any one value, if a template forgot to cut it
_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")  # for the name of a file that a browser links to


def reports_folder(index: Path) -> Path:
    """Where the single reports of an index file lie: beside it."""
    return index.with_name(f"{index.stem}-reports")


def single_reports(shelf: ShelfResult) -> dict[int, tuple[str, str]]:
    """The file name and the page of every entry that has a result, by its place on the shelf."""
    return {
        number: (f"{number + 1:03d}-{_UNFIT.sub('-', entry.name)[:60]}.html", single.render(entry.result))
        for number, entry in enumerate(shelf.entries)
        if entry.result is not None
    }


def html(shelf: ShelfResult, links: Mapping[int, str] | None = None) -> str:
    """The index.

    Args:
        links: by an entry's place on the shelf, where its own report lies, as seen from the index.
    """
    style, script = asset("report.css"), asset("report.js")
    template = _environment().get_template("shelf.html")
    return template.render(
        shelf=shelf,
        links=links or {},
        style=Markup(style),
        script=Markup(script),
        policy=policy(style, script),
    )


@cache
def _environment() -> Environment:
    environment = page_environment(LONGEST)
    environment.filters["duration"] = figures.duration
    environment.globals.update(wording=wording, meanings=MEANINGS)
    return environment
