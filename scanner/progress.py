"""How long work tells how far it is, without knowing who listens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


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
