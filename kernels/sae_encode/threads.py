"""Blocks of work side by side on a CPU, each with one thread.

Several threads inside one small matrix product wait for each other, and whatever is done behind it by
numpy has one thread; whole blocks need not wait, and keep every core busy with both.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")
R = TypeVar("R")
B = TypeVar("B")


def side_by_side(work: Callable[[T, B], R], items: Sequence[T], buffers: Callable[[], B]) -> Iterator[R]:
    """The results of `work(item, buffers)` in the order of the items, as many at a time as torch has threads.

    Args:
        buffers: makes the memory of one thread; each thread makes it once and reuses it.
    """
    threads = min(torch.get_num_threads(), len(items))
    if threads <= 1:
        own = buffers() if items else None
        for item in items:
            yield work(item, own)  # type: ignore[arg-type]
        return
    local = threading.local()

    def run(item: T) -> R:
        if not hasattr(local, "buffers"):
            local.buffers = buffers()
        with torch.no_grad():  # a new thread starts with gradients on
            return work(item, local.buffers)

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(max_workers=threads) as pool:
            yield from pool.map(run, items)
    finally:
        torch.set_num_threads(before)
