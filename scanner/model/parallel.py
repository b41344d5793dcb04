"""Forward passes side by side: on a CPU, small models run faster as several passes of one thread each.

The threads of one small matrix product wait for each other at every step, all the more when the machine
is busy; whole forward passes need not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

from ..config import CORES

SMALL = 50_000_000  # parameters up to which one thread a pass is the better use of a CPU

T = TypeVar("T")
R = TypeVar("R")


def workers_for(model: nn.Module) -> int:
    """How many forward passes should run at a time: the cores for a small model on the CPU, else one."""
    first = next(model.parameters())
    if first.device.type != "cpu" or sum(p.numel() for p in model.parameters()) > SMALL:
        return 1
    return cores()


def cores() -> int:
    """The cores of this machine that one scan may use."""
    return int(os.environ.get(CORES) or os.cpu_count() or 1)


def in_order(function: Callable[[T], R], items: Sequence[T], workers: int) -> Iterator[R]:
    """The results of `function` over `items` in their order, `workers` at a time."""
    if workers <= 1 or len(items) <= 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(max_workers=workers) as pool:
        yield from pool.map(function, items)


@contextmanager
def threads_for(workers: int) -> Iterator[None]:
    """Within the block torch uses one thread a pass where several passes run at a time, and no more than it may."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if workers > 1 else min(before, cores()))
    try:
        yield
    finally:
        torch.set_num_threads(before)
