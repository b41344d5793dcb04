"""What runs in the processes of a Ray cluster: workers, and the board on which they say how far they are."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from ..progress import Told
from .contract import Place, Work, Worker, open_worker

Words = tuple[int, int, tuple[Any, ...]]


def workers_in(resources: Mapping[str, float], takes: Mapping[str, int]) -> int:
    """How many workers a node with these resources has room for."""
    return min(int(resources.get(name, 0)) // count for name, count in takes.items() if count)


class Board:
    """What the workers tell, until the one who asked for the work takes it."""

    def __init__(self) -> None:
        self._told: list[Words] = []

    def tell(self, index: int, attempt: int, *words: Any) -> None:
        """Progress of one attempt at a piece; no words are none."""
        if words:
            self._told.append((index, attempt, words))

    def take(self) -> list[Words]:
        """All that was told since the last time."""
        told, self._told = self._told, []
        return told


class RayWorker:
    """A worker in a process of its own.

    Args:
        board: the actor that takes its progress.
        takes: what each worker takes of a node, as Ray names it.
        workers: on the whole cluster.
    """

    def __init__(self, work: Work, board: Any, takes: Mapping[str, int], workers: int) -> None:
        self._work = work
        self._board = board
        self._takes = takes
        self._workers = workers
        self._worker: Worker | None = None

    def ready(self) -> None:
        """Open the worker: what goes wrong here is the work's error, and no loss."""
        import ray

        here = ray.get_runtime_context().get_node_id()
        room = [workers_in(node["Resources"], self._takes) for node in ray.nodes() if node["NodeID"] == here]
        workers = max(1, min([self._workers, *room]))
        self._worker = open_worker(self._work, Place(workers=workers, cores=self._takes["CPU"]))

    def do(self, index: int, attempt: int, text: str) -> tuple[str, float]:
        """What the worker makes of a piece, and in how many seconds."""
        if self._worker is None:
            raise RuntimeError("a worker is ready before it is given a piece")
        import ray

        start = time.perf_counter()
        told = Told(partial(self._board.tell.remote, index, attempt))
        made = self._worker.do(text, told, again=attempt > 0)
        seconds = time.perf_counter() - start
        ray.get(self._board.tell.remote(index, attempt))  # all words stand there before the end is known
        return made, seconds
