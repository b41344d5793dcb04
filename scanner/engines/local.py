"""Pieces of work in this process: one after the other, or several threads at a time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from queue import SimpleQueue
from typing import Any

from ..errors import UsageError
from ..progress import Heard, Progress, Titled, Told
from .contract import Done, Piece, Place, Work, Worker, open_worker

WORDS, DONE, RAISED = "words", "done", "raised"
Told_ = tuple[str, int, Any]


class Local:
    """This process.

    Args:
        workers: pieces at a time.
        cores: for each; without it the machine's are shared out among those that run at a time.
    """

    name = "local"

    def __init__(self, workers: int = 1, cores: int | None = None) -> None:
        if workers < 1:
            raise UsageError(f"an engine needs at least one worker, got {workers}")
        self.workers = self._asked = workers
        self._cores = cores

    def place(self, pieces: int) -> Place:
        """As `Engine.place`."""
        together = max(1, min(self._asked, pieces))
        shared_out = max(1, (os.cpu_count() or 1) // together) if together > 1 else None
        return Place(pieces=together, cores=self._cores or shared_out)

    def run(self, work: Work, pieces: Sequence[Piece], progress: Progress) -> Iterator[Done]:
        """As `Engine.run`."""
        place = self.place(len(pieces))
        self.workers = place.pieces
        with closing(open_worker(work, place)) as worker:
            if self.workers > 1:
                yield from self._side_by_side(worker, pieces, progress)
                return
            for index, piece in enumerate(pieces):
                start = time.perf_counter()
                text = worker.do(piece.text, Titled(progress, piece.name), again=False)
                yield Done(index, text, time.perf_counter() - start)

    def _side_by_side(self, worker: Worker, pieces: Sequence[Piece], progress: Progress) -> Iterator[Done]:
        """Threads do the pieces; this one alone tells of their progress."""
        told: SimpleQueue[Told_] = SimpleQueue()
        left = iter(enumerate(pieces))
        taking = threading.Lock()

        def take() -> tuple[int, Piece] | None:
            with taking:
                return next(left, None)

        def call_off() -> None:
            with taking:
                for _ in left:
                    pass

        def work_off() -> None:
            while (taken := take()) is not None:
                index, piece = taken
                start = time.perf_counter()
                try:
                    text = worker.do(piece.text, Told(partial(_put, told, index)), again=False)
                except BaseException as error:
                    told.put((RAISED, index, error))
                    return
                told.put((DONE, index, (text, time.perf_counter() - start)))

        for _ in range(self.workers):
            threading.Thread(target=work_off, daemon=True).start()
        with ExitStack() as stack:
            heard = {
                i: stack.enter_context(Heard(Titled(progress, piece.name))) for i, piece in enumerate(pieces)
            }
            stack.callback(call_off)
            for _ in pieces:
                while (message := told.get())[0] == WORDS:
                    heard[message[1]].hear(*message[2])
                if message[0] == RAISED:
                    raise message[2]
                yield Done(message[1], *message[2])


def _put(told: SimpleQueue[Told_], index: int, *words: Any) -> None:
    told.put((WORDS, index, words))
