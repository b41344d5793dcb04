"""Response statistics on a CPU: blocks of logits that never leave the cache, in reused buffers.

    logits = hidden @ unembeddingᵀ + bias, a strip of the vocabulary times a block of rows at a time

Float32 inputs and accumulation (half-precision inputs are widened exactly, a strip at a time); sums over
strips are float64. A strip serves all rows before the next one begins, and the references' logits of that
strip are formed once. Deterministic for a given number of threads. Source: ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from .group_order import GroupOrder
from .row_sums import LOWEST, RowSums, row_stats

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jaxtyping import Float, Float32, Int64
    from torch import Tensor

    from .arguments import Task
    from .statistics import ResponseStats

STRIP_TOKENS = 1024
BLOCK_ROWS = 512
REFERENCE_SIZE = 2**24  # most logits of the references that are kept at a time


def stats(task: Task) -> ResponseStats:
    """Statistics of rows in a first pass over the vocabulary, of groups in a second one."""
    rows, references = _first_pass(task)
    if task.references is None or references is None:
        return row_stats(rows, None, None)
    found = row_stats(rows, references, task.references.of)
    if task.groups is None:
        return found
    order = GroupOrder.of(task.groups)
    gain, token = _second_pass(task, order, rows, references)
    return order.added(found, task.group_count, gain, token)


class _Strip:
    """Some tokens of the vocabulary, ready to be multiplied."""

    def __init__(self, task: Task, tokens: slice) -> None:
        self.first = tokens.start
        self._weights = task.unembedding[tokens].float().T
        self._bias = task.bias[tokens]
        self._softcap = task.softcap

    def logits(self, hidden: Float[Tensor, "n d"], buffer: Tensor | None = None) -> Float32[Tensor, "n s"]:
        """Logits of these tokens, in the buffer where there is one."""
        shape = (len(hidden), len(self._bias))
        out = torch.empty(shape) if buffer is None else buffer[: shape[0] * shape[1]].view(shape)
        torch.addmm(self._bias, hidden.float(), self._weights, out=out)
        if self._softcap is not None:
            out.div_(self._softcap).tanh_().mul_(self._softcap)
        return out


def _strips(task: Task) -> Iterator[_Strip]:
    vocabulary = len(task.unembedding)
    count = 1 if task.references is None else len(task.references.hidden)
    step = max(1, min(STRIP_TOKENS, REFERENCE_SIZE // count))
    for start in range(0, vocabulary, step):
        yield _Strip(task, slice(start, min(start + step, vocabulary)))


def _blocks(rows: slice) -> Iterator[slice]:
    for start in range(rows.start, rows.stop, BLOCK_ROWS):
        yield slice(start, min(start + BLOCK_ROWS, rows.stop))


def _first_pass(task: Task) -> tuple[RowSums, RowSums | None]:
    """The sums of every row, and of every reference."""
    device = task.hidden.device
    sums = RowSums.empty(len(task.hidden), device)
    buffers = [torch.empty(BLOCK_ROWS * STRIP_TOKENS) for _ in range(3)]
    if task.references is None:
        for strip in _strips(task):
            for block in _blocks(slice(0, len(task.hidden))):
                logits = strip.logits(task.hidden[block], buffers[0])
                _count_in(sums.rows(block), _sums(logits, strip.first, None, buffers))
        return sums, None
    references = RowSums.empty(len(task.references.hidden), device)
    for strip in _strips(task):
        table = strip.logits(task.references.hidden)
        for block in _blocks(slice(0, len(table))):
            logits = buffers[0][: table[block].numel()].view_as(table[block]).copy_(table[block])
            _count_in(references.rows(block), _sums(logits, strip.first, None, buffers))
        for block in _blocks(slice(0, len(task.hidden))):
            logits = strip.logits(task.hidden[block], buffers[0])
            compared = buffers[1][: logits.numel()].view_as(logits)
            torch.index_select(table, 0, task.references.of[block], out=compared)
            _count_in(sums.rows(block), _sums(logits, strip.first, compared, buffers))
    return sums, references


def _sums(
    logits: Float32[Tensor, "n s"],
    first_token: int,
    compared: Float32[Tensor, "n s"] | None,
    buffers: list[Tensor],
) -> RowSums:
    """The sums of one block; overwrites logits and what they are compared with."""
    # numpy's argmax gives the first of equals, and is several times faster than torch's.
    token = torch.from_numpy(logits.numpy().argmax(axis=1))
    maximum = logits.gather(1, token[:, None])
    if compared is not None:
        torch.sub(logits, compared, out=compared)
    below = logits.sub_(maximum)
    weight = torch.exp(below, out=buffers[2][: below.numel()].view_as(below))
    total = weight.sum(dim=1)
    cross = torch.zeros_like(total) if compared is None else torch.linalg.vecdot(weight, compared)
    return RowSums(
        maximum=maximum[:, 0].double(),
        token=token + first_token,
        total=total.double(),
        spread=-torch.linalg.vecdot(weight, below).double(),
        cross=cross.double(),
    )


def _count_in(running: RowSums, found: RowSums) -> None:
    """Add the sums of a further strip to views of the running ones."""
    merged = running.beside(RowSums(*(tensor[:, None] for tensor in found))).merged()
    for target, result in zip(running, merged, strict=True):
        target.copy_(result)


def _second_pass(
    task: Task, order: GroupOrder, rows: RowSums, references: RowSums
) -> tuple[Float32[Tensor, " P"], Int64[Tensor, " P"]]:
    """The largest gain of each group that has rows, and its token."""
    if task.references is None:
        raise ValueError("gains need references")
    hidden, compared = task.hidden[order.order], task.references.of[order.order]
    highest, scale = (part[order.order, None].float() for part in (rows.maximum, rows.total.reciprocal()))
    gain = torch.full((len(order.present),), LOWEST)
    token = torch.zeros(len(order.present), dtype=torch.int64)
    sizes = order.offsets.diff()[:, None].float()
    bundles = list(_bundles(order.offsets.tolist()))
    buffer = torch.empty(BLOCK_ROWS * STRIP_TOKENS)
    for strip in _strips(task):
        table = strip.logits(task.references.hidden).sub_(references.maximum[:, None].float()).exp_()
        table.mul_(references.total.reciprocal()[:, None].float())
        for groups, own_rows in bundles:
            rise = torch.zeros(groups.stop - groups.start, table.shape[1])
            for block in _blocks(own_rows):
                p = strip.logits(hidden[block], buffer)
                p.sub_(highest[block]).exp_().mul_(scale[block])
                offsets = (order.offsets[groups] - block.start).clamp(min=0)
                rise += _sums_of_rows(p, torch.arange(len(p)), offsets)
                rise -= _sums_of_rows(table, compared[block], offsets)
            rise /= sizes[groups]
            best = torch.from_numpy(rise.numpy().argmax(axis=1))
            value = rise.gather(1, best[:, None])[:, 0]
            # Strips come in the order of tokens: only a larger gain moves the token.
            risen = value > gain[groups]
            gain[groups] = torch.where(risen, value, gain[groups])
            token[groups] = torch.where(risen, best + strip.first, token[groups])
    return gain, token


def _bundles(offsets: list[int]) -> Iterator[tuple[slice, slice]]:
    """Groups, and their rows: as many whole groups as fit a block, or one group of several blocks."""
    start = 0
    while start < len(offsets) - 1:
        stop = start + 1
        while stop < len(offsets) - 1 and offsets[stop + 1] - offsets[start] <= BLOCK_ROWS:
            stop += 1
        yield slice(start, stop), slice(offsets[start], offsets[stop])
        start = stop


def _sums_of_rows(
    table: Float32[Tensor, "n s"], numbers: Int64[Tensor, " m"], offsets: Int64[Tensor, " g"]
) -> Float32[Tensor, "g s"]:
    """Sums of runs of the rows with these numbers; a run ends where the next one begins."""
    return functional.embedding_bag(numbers, table, offsets, mode="sum")
