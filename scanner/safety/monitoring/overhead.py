"""What watching costs: tokens per second with the monitor and without it, taken by turns.

Turns, because a machine that does other things meanwhile slows both down alike: what is counted is the ratio within
each turn, and its median over the turns. Every row writes all tokens asked for, so that both do the same work.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import torch
from scipy.stats import quantile_test

from ...findings import Interval
from ...model.generation import LeftPadded
from ...model.loading import LoadedModel
from ...studies.monitoring import Overhead
from .monitor import Monitor

TURNS = 60


def measure_overhead(
    loaded: LoadedModel,
    make: Callable[[], Monitor],
    rows: Sequence[Sequence[int]],
    *,
    new_tokens: int = 32,
    turns: int = TURNS,
    clock: Callable[[], float] = time.perf_counter,
) -> Overhead:
    """Generation of one batch with and without a monitor.

    Args:
        make: a fresh monitor of this model.
        rows: the prompts of the batch as token ids.
        clock: `time.process_time` counts the work of this process alone, where others share the machine.
    """
    padded = LeftPadded(rows, pad=loaded.pad, device=loaded.model.device)

    model: Any = loaded.model  # its stubs take `generate` for a tensor

    def write() -> float:
        _settle(loaded)
        start = clock()
        model.generate(
            input_ids=padded.input_ids,
            attention_mask=padded.attention_mask,
            max_new_tokens=new_tokens,
            min_new_tokens=new_tokens,
            do_sample=False,
            pad_token_id=loaded.pad,
        )
        _settle(loaded)
        return clock() - start

    def watched() -> float:
        with make():
            return write()

    write(), watched()  # what is only done once
    plain: list[float] = []
    under: list[float] = []
    for turn in range(turns):  # who goes first changes
        pair = (write, watched) if turn % 2 == 0 else (watched, write)
        first, second = pair[0](), pair[1]()
        plain.append(first if turn % 2 == 0 else second)
        under.append(second if turn % 2 == 0 else first)
    tokens, without, with_it = len(rows) * new_tokens, median(plain), median(under)
    shares = [watched / alone - 1 for alone, watched in zip(plain, under, strict=True)]
    return Overhead(
        batch=len(rows),
        new_tokens=new_tokens,
        turns=turns,
        watches=len(make().watches),
        plain_seconds=without,
        watched_seconds=with_it,
        plain_tokens_per_second=tokens / without,
        watched_tokens_per_second=tokens / with_it,
        share=median(shares),
        interval=_of_median(shares),
    )


def _of_median(values: Sequence[float]) -> Interval:
    """The 95% interval of a median, by order statistics; the whole range where there are too few values for one."""
    found = quantile_test(values, q=median(values), p=0.5).confidence_interval(0.95)
    low, high = float(found.low), float(found.high)
    return min(values) if math.isnan(low) else low, max(values) if math.isnan(high) else high


def _settle(loaded: LoadedModel) -> None:
    if loaded.model.device.type == "cuda":
        torch.cuda.synchronize()
