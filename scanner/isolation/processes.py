"""Calls in processes of their own, several at a time: none outlives its caller, none takes another with it."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class WorkerDied(RuntimeError):
    """A process ended without an answer: it was killed, ran out of memory, or crashed in native code."""


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """What became of one call.

    Attributes:
        index: which of the calls it was.
        value: what it returned; None if it raised.
        error: what it raised.
    """

    index: int
    value: Result | None
    error: BaseException | None

    def result(self) -> Result:
        """What the call returned.

        Raises:
            WorkerDied: its process ended without an answer.
            Exception: whatever the call raised.
        """
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


def side_by_side(
    function: Callable[..., Result], calls: Sequence[tuple[Any, ...]], *, workers: int
) -> Iterator[Outcome[Result]]:
    """The outcome of each call, in the order in which they end.

    Every call has a fresh process, so that its peak memory is its own. Where the caller stops listening (an
    error, an interrupt), the processes that still run are ended; where the caller is killed, they end
    themselves.

    Args:
        function: one that a fresh interpreter can import by name.
        calls: the arguments of each call.
        workers: calls that run at a time.
    """
    context = multiprocessing.get_context("spawn")
    running: dict[Connection, tuple[int, multiprocessing.process.BaseProcess]] = {}
    left = iter(enumerate(calls))

    def start_one() -> None:
        for index, arguments in left:
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_answer, args=(theirs, function, arguments))
            process.start()
            theirs.close()  # so that the end of the process is the end of the pipe
            running[ours] = index, process
            return

    try:
        for _ in range(workers):
            start_one()
        while running:
            for ready in wait(list(running)):
                assert isinstance(ready, Connection)
                index, process = running[ready]
                outcome: Outcome[Result] = _received(ready, index, process)
                del running[ready]
                ready.close()
                start_one()
                yield outcome
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.join()


def _received(pipe: Connection, index: int, process: multiprocessing.process.BaseProcess) -> Outcome[Any]:
    try:
        value, error = pipe.recv()
    except EOFError:
        process.join()
        died = WorkerDied(f"its process ended without an answer ({how_it_ended(process.exitcode)})")
        return Outcome(index, None, died)
    process.join()
    return Outcome(index, value, error)


def how_it_ended(code: int | None) -> str:
    """An exit code in words."""
    if code is None or code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name}; often too little memory: try fewer workers" if name == "SIGKILL" else name


def _answer(pipe: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """In the fresh process: call, and send what came of it."""
    end_with_the_caller()
    try:
        answer: tuple[Any, BaseException | None] = function(*arguments), None
    except Exception as error:
        answer = None, sendable(error)
    pipe.send(answer)
    pipe.close()


def sendable(error: Exception) -> Exception:
    """The error itself if it can travel between processes, else its words."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - bytes of this very process
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def end_with_the_caller() -> None:
    """In a fresh process: leave interrupts to the caller, and end when it has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_wait_for_the_caller, daemon=True).start()


@contextmanager
def ending_with_the_caller() -> Iterator[None]:
    """In a fresh process: within the block it ends when its caller has ended; no thread of that is left afterwards."""
    caller = multiprocessing.parent_process()
    if caller is None:
        yield
        return
    over, tell = os.pipe()
    gone = caller.sentinel

    def watch() -> None:
        if over not in wait([gone, over]):
            os._exit(1)

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
    finally:
        os.write(tell, b"!")
        watching.join()
        os.close(over)
        os.close(tell)


def _wait_for_the_caller() -> None:
    caller = multiprocessing.parent_process()
    if caller is not None:
        caller.join()
        os._exit(1)


def launched_beside_others() -> bool:
    """Whether torchrun or accelerate has started this process as one of several."""
    return os.environ.get("WORLD_SIZE", "1") not in ("", "0", "1")
