"""How far the work is, on standard error: bars on a terminal, one line a stage elsewhere.

Implements the Progress protocol of `scanner.progress`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from .escaping import visible


class _Bar:
    """A stage shown as a bar."""

    def __init__(self, bars: Progress, task: TaskID) -> None:
        self._bars = bars
        self._task = task

    def advance(self, steps: float = 1) -> None:
        """Move the bar."""
        self._bars.advance(self._task, steps)

    def total(self, steps: float) -> None:
        """Give the bar its length."""
        self._bars.update(self._task, total=steps)


class _Unwatched:
    """A stage on something that is no terminal: nothing is drawn until it ends."""

    def advance(self, steps: float = 1) -> None:
        """Not drawn."""

    def total(self, steps: float) -> None:
        """Not drawn."""


class ProgressBars:
    """Stages of work as they run, with a line left behind for each that has ended.

    Args:
        console: a console on standard error; whether it is a terminal decides between bars and lines.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f}%", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._open = 0

    @contextmanager
    def stage(self, title: str, total: float | None = None) -> Iterator[_Bar | _Unwatched]:
        """Show a stage while its `with` block runs, and its time afterwards."""
        title = visible(title)
        start = time.perf_counter()
        if not self._console.is_terminal:
            outcome = "failed after"
            try:
                yield _Unwatched()
                outcome = "took"
            finally:
                self._line(f"{title}: {outcome} {time.perf_counter() - start:.1f} s")
            return
        self._open += 1
        if self._open == 1:
            self._bars.start()
        task = self._bars.add_task(title, total=total)
        sign = "✗"
        try:
            yield _Bar(self._bars, task)
            sign = "✓"
        finally:
            self._bars.remove_task(task)
            self._line(f"{sign} {title}  {time.perf_counter() - start:.1f} s")
            self._open -= 1
            if self._open == 0:
                self._bars.stop()

    def _line(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)
