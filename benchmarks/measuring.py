"""Time and memory of several ways to do one job, taken in turns so that a busy moment hits all of them."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

PAGE = 4096
SAMPLED_EVERY = 0.002  # seconds between two looks at the memory of the process


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Seconds of each repeat, and the bytes that a run held at its peak beyond what was there before."""

    seconds: tuple[float, ...]
    peak_bytes: int

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)


def measure(
    ways: Mapping[str, Callable[[], object]], *, device: str, repeats: int, warm_up: int = 1
) -> dict[str, Measurement]:
    """Run every way in turn, `repeats` times; the peak is that of one further run of each."""
    for _ in range(warm_up):
        for way in ways.values():
            way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            seconds[name].append(_seconds(way, device))
    return {
        name: Measurement(seconds=tuple(seconds[name]), peak_bytes=_peak(way, device))
        for name, way in ways.items()
    }


def _seconds(way: Callable[[], object], device: str) -> float:
    if device == "cuda":
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        way()
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end) / 1000
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


def _peak(way: Callable[[], object], device: str) -> int:
    """What the run holds at its peak, its result included."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        way()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    before = highest = _resident()
    finished = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not finished.wait(SAMPLED_EVERY):
            highest = max(highest, _resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    result = way()
    highest = max(highest, _resident())
    finished.set()
    watcher.join()
    del result
    return highest - before


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE
