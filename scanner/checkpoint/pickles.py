"""What a pickle would import if somebody loaded it; it is disassembled, never loaded.

picklescan reads the opcodes and knows which globals run code. Its word is taken for naming the
danger, never for calling a pickle safe: what it does not know and ordinary training code does not
use is reported as unknown.
"""

from __future__ import annotations

import io
import logging
import pickletools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from picklescan.scanner import SafetyLevel, scan_bytes

from .ordinary_globals import is_ordinary
from .wording import shown

MAX_PICKLE_BYTES = 64 * 2**20
MAX_OPCODES = 1_000_000
LEGACY_PICKLES = 5  # of torch's old format: magic, version, system, the object, the storage keys


@dataclass(frozen=True, kw_only=True)
class PickleReport:
    """The globals in one file of pickles.

    Attributes:
        dangerous: `module.name` of globals known to run code.
        unknown: those that are neither known to run code nor ordinary in training code.
        problem: why the file could not be read whole; empty if it was.
    """

    dangerous: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    problem: str = ""


def inspect_stream(stream: BinaryIO, size: int, name: str) -> PickleReport:
    """Which globals the pickles in the stream name; at most `MAX_PICKLE_BYTES` are read.

    Args:
        size: how many bytes the stream is said to hold.
    """
    data = stream.read(MAX_PICKLE_BYTES)
    complete = _whole_pickles(data)
    if complete is None:
        return PickleReport(problem=f"with more than {MAX_OPCODES} instructions it was not taken apart")
    problem = ""
    if complete == 0:
        problem = "the pickle is broken off or malformed"
    if not problem and size > len(data) and complete < LEGACY_PICKLES:
        problem = f"of its {size} bytes only the first {len(data)} were taken apart"
    named: set[tuple[str, str, SafetyLevel]] = set()
    with silent():
        for extension in (".pt", ".pkl"):  # as torch reads it, and as pickle does
            try:
                result = scan_bytes(io.BytesIO(data), shown(name), extension)
            except (
                Exception
            ) as trouble:  # malformed input must become a report, whatever the library trips over
                problem = problem or f"{type(trouble).__name__}: {shown(trouble)}"
                continue
            named |= {(g.module, g.name, g.safety) for g in result.globals}
    return PickleReport(
        dangerous=tuple(sorted({_full(m, n) for m, n, level in named if level is SafetyLevel.Dangerous})),
        unknown=tuple(
            sorted(
                {
                    _full(m, n)
                    for m, n, level in named
                    if level is SafetyLevel.Suspicious and not is_ordinary(m, n)
                }
            )
        ),
        problem=problem,
    )


@contextmanager
def silent() -> Iterator[None]:
    """picklescan logs what it finds; a report says it better."""
    log = logging.getLogger("picklescan")
    disabled, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = disabled


def _full(module: str, name: str) -> str:
    return shown(f"{module}.{name}")


def _whole_pickles(data: bytes) -> int | None:
    """How many whole pickles the data begin with; None where they have too many instructions."""
    stream = io.BytesIO(data)
    complete = count = 0
    while stream.tell() < len(data):
        try:
            for _ in pickletools.genops(stream):
                count += 1
                if count > MAX_OPCODES:
                    return None
        except Exception:  # what follows is no pickle
            return complete
        complete += 1
    return complete
