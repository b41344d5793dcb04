"""A confined process that keeps what several scans share, and forks one process for each of them.

Libraries are imported and the base is loaded once; every scan has a copy of that memory, which the system makes page by
page where the scan writes (Linux). So a checkpoint that kills its process takes nothing with it, and one that spoils
the base's weights, or the program, spoils its own copy.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import recv_handle, send_handle
from typing import Any, NamedTuple

from ..config import Device
from ..isolation.confinement import Limits, confine
from ..isolation.processes import ending_with_the_caller
from .calling import work_confined
from .messages import receive, send, words_of
from .process import TIDYING, Process

PATIENCE = 1_800.0  # seconds that a base may take to be hashed and loaded
ANSWERS = 60.0  # seconds in which a keeper answers: it forks, and waits for what it has forked


class Shared(NamedTuple):
    """What a scan is given in a process that a keeper forked: its own, and what is kept.

    Attributes:
        given: what the caller gave.
        kept: what the keeper had prepared.
    """

    given: Any
    kept: Any


class KeeperGone(RuntimeError):
    """The keeper could not prepare what scans share, or has ended."""


class Keeper:
    """The process that keeps, as its owner sees it; several threads may start scans.

    Args:
        prepare: `module:function` of `given`: what it returns is kept; it works in the confined process, which ends with its
            owner.
        limits: of the keeper; a scan can be left less, not more.
    """

    def __init__(self, prepare: str, given: object, limits: Limits) -> None:
        context = multiprocessing.get_context("spawn")
        self._lock = threading.Lock()
        self._control, theirs = context.Pipe(duplex=True)
        self._process = context.Process(target=_keep, args=(theirs, prepare, given, limits))
        self._process.start()
        theirs.close()
        self._count = 0
        self._ready = False
        self._gone = False

    def ready(self) -> None:
        """Wait until everything is prepared.

        Raises:
            KeeperGone: it came to no end of that; the message says what went wrong.
        """
        with self._lock:
            if not self._ready:
                self._said("ready", PATIENCE)
                self._ready = True

    def start(self, function: str, given: object, limits: Limits) -> tuple[Process, Connection]:
        """Fork a process that calls `function` of a `Shared` and a progress: a `calling.Start`.

        Raises:
            KeeperGone: there is no keeper any more.
        """
        ours, theirs = multiprocessing.get_context("spawn").Pipe(duplex=False)
        try:
            with self._lock:
                self._count += 1
                number = self._count
                try:
                    self._control.send(("start", number, function, given, limits))
                    send_handle(self._control, theirs.fileno(), self._process.pid or 0)
                except OSError as error:
                    raise self._noted("it has ended") from error
                self._said("started", ANSWERS)
        except KeeperGone:
            ours.close()
            raise
        finally:
            theirs.close()  # so that the end of the process is the end of the pipe
        return _Forked(self, number), ours

    def end(self, number: int, patience: float) -> int | None:
        """End a forked process that does not end by itself in `patience` seconds; its exit code, None if none is known."""
        with self._lock:
            try:
                self._control.send(("end", number, patience))
                (code,) = self._said("ended", patience + ANSWERS)
            except (KeeperGone, OSError, ValueError):
                self._gone = True
                return None
            return None if code is None else int(code)

    @property
    def alive(self) -> bool:
        """Whether it still keeps."""
        return not self._gone and self._process.is_alive()

    def close(self) -> None:
        """End it, and with it every process that it has forked."""
        self._process.kill()
        self._process.join()

    def _said(self, wanted: str, patience: float) -> list[Any]:
        """What it answers: JSON, as from every process that has read a stranger's files."""
        try:
            if not self._control.poll(patience):
                self._process.kill()
                raise self._noted("it fell silent")
            word, more = receive(self._control)
        except (EOFError, OSError, ValueError) as error:
            raise self._noted("it has ended") from error
        if word == "failed" and more:
            raise self._noted(str(more[0]))
        if word != wanted:
            raise self._noted(f"it said {word[:40]!r} where {wanted} was due")
        return more

    def _noted(self, how: str) -> KeeperGone:
        """That it is gone: its pipe may end a moment before the process does."""
        self._gone = True
        return KeeperGone(how)


class _Forked:
    """A process of the keeper's, with the manners of one of ours."""

    def __init__(self, keeper: Keeper, number: int) -> None:
        self._keeper = keeper
        self._number = number
        self.exitcode: int | None = None
        self._ended = False

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""
        self._end(TIDYING if timeout is None else timeout)

    def kill(self) -> None:
        """End it."""
        self._end(0.0)

    def _end(self, patience: float) -> None:
        if not self._ended:
            self._ended = True
            self.exitcode = self._keeper.end(self._number, patience)


def can_keep(device: Device) -> bool:
    """Whether processes can be forked here from one that has loaded a model: on Linux, and never one that uses a GPU."""
    on_gpu = device is not Device.CPU and os.path.exists("/dev/nvidiactl")
    return sys.platform == "linux" and not on_gpu


def _keep(control: Connection, prepare: str, given: object, limits: Limits) -> None:
    """In the fresh process: prepare what is shared, then fork and end processes as asked, until the owner has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout = sys.stderr
    confine(limits)
    module, _, name = prepare.partition(":")
    try:
        with ending_with_the_caller():
            kept = getattr(import_module(module), name)(given)
    except Exception as error:
        _kind, message, *_more = words_of(error)
        send(control, "failed", message)
        return
    send(control, "ready")
    forked: dict[int, BaseProcess] = {}
    fork = multiprocessing.get_context("fork")
    while True:
        try:
            asked = control.recv()  # from the process that the user started
        except EOFError:
            os._exit(0)  # those that it forked see its end and end
        if asked[0] == "end":
            process = forked.pop(asked[1])
            process.join(asked[2])
            process.kill()
            process.join()
            send(control, "ended", process.exitcode)
            continue
        _, number, function, own, own_limits = asked
        pipe = Connection(recv_handle(control), readable=False)
        process = fork.Process(
            target=_scan, args=(control, pipe, function, Shared(own, kept), own_limits), name=f"scan-{number}"
        )
        process.start()
        pipe.close()
        forked[number] = process
        send(control, "started")


def _scan(control: Connection, pipe: Connection, function: str, shared: Shared, limits: Limits) -> None:
    """In a forked process."""
    control.close()  # only the keeper takes orders there
    work_confined(pipe, function, shared, limits)
