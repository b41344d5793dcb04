"""Studies as files: JSON and text, and HTML where a study has a page."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from ...findings import Record

if TYPE_CHECKING:
    from rich.console import RenderableType

S = TypeVar("S", bound=Record)
FORMATS: Final = ("json", "text")
WITH_PAGE: Final = ("json", "html", "text")


def render(
    study: S, format_name: str, tables: Callable[[S], RenderableType], page: Callable[[S], str] | None = None
) -> str:
    """A study in one format.

    Args:
        tables: makes its text.
        page: makes its HTML; None where it has none.
    """
    if format_name == "json":
        return study.model_dump_json(indent=2) + "\n"
    if format_name == "html" and page is not None:
        return page(study)
    from ..text import plain

    return plain(tables(study))
