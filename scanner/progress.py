"""How long work tells how far it is, without knowing who listens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Protocol


class Stage(Protocol):
    """One stretch of work under way."""

    def advance(self, steps: float = 1) -> None:
        """So many more of the stage's steps are done."""

    def total(self, steps: float) -> None:
        """The stage turned out to have so many steps."""


class Progress(Protocol):
    """Where stages are announced: the terminal's bars, or nowhere."""

    def stage(self, title: str, total: float | None = None) -> AbstractContextManager[Stage]:
        """Announce a stage of `total` steps (None: unknown); it ends with the `with` block."""


class _SilentStage:
    def advance(self, steps: float = 1) -> None:
        """Nobody listens."""

    def total(self, steps: float) -> None:
        """Nobody listens."""


class Silent:
    """The progress of a library call: nothing is shown."""

    @contextmanager
    def stage(self, title: str, total: float | None = None) -> Iterator[Stage]:
        """A stage that nobody watches."""
        yield _SilentStage()


class Told:
    """Progress told in words that `Heard` understands elsewhere: plain JSON values. Several threads may tell.

    Args:
        send: takes the words of one message.
    """

    def __init__(self, send: Callable[..., object]) -> None:
        self.send = send
        self._lock = threading.Lock()
        self._count = 0

    def tell(self, *words: Any) -> None:
        """Send one message."""
        with self._lock:
            self.send(*words)

    @contextmanager
    def stage(self, title: str, total: float | None = None) -> Iterator[Stage]:
        """Announce a stage to whoever hears."""
        with self._lock:
            self._count += 1
            number = self._count
        self.tell("stage", number, title, total)
        try:
            yield _ToldStage(self, number)
        finally:
            self.tell("end", number)


class _ToldStage:
    def __init__(self, told: Told, number: int) -> None:
        self._told = told
        self._number = number

    def advance(self, steps: float = 1) -> None:
        """Tell whoever hears."""
        self._told.tell("advance", self._number, steps)

    def total(self, steps: float) -> None:
        """Tell whoever hears."""
        self._told.tell("total", self._number, steps)


class Heard:
    """Stages that are told in words, announced here; those still open end with the `with` block."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._under_way: dict[int, tuple[ExitStack, Stage]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Heard:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def hear(self, word: str, *more: Any) -> None:
        """Take one message.

        Raises:
            KeyError, IndexError, TypeError: it is none, or of a stage that is not under way.
        """
        if word == "stage":
            own = self._stack.enter_context(ExitStack())
            self._under_way[more[0]] = own, own.enter_context(self._progress.stage(more[1], more[2]))
        elif word == "end":
            self._under_way.pop(more[0])[0].close()
        elif word == "advance":
            self._under_way[more[0]][1].advance(more[1])
        else:
            self._under_way[more[0]][1].total(more[1])


class Titled:
    """Progress whose stages say what they are of: `2 of 5, suspect: loading the model`."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._name = name

    def stage(self, title: str, total: float | None = None) -> AbstractContextManager[Stage]:
        """Announce a stage under its longer title."""
        return self._progress.stage(f"{self._name}: {title}", total)
