"""The two passes over the vocabulary in Triton: launches, and the float64 sums over programs.

Where the references' logits of the whole vocabulary would be too many to keep, the vocabulary is worked through
in parts; with few references there is one part.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import triton

from ..sae_encode.triton_kernel import capability_of
from .arguments import References
from .group_order import GroupOrder
from .row_sums import LOWEST, RowSums, row_stats
from .triton_kernel import BLOCK_G, Tiles, group_gains_kernel, logits_kernel, row_sums_kernel, shipped_tiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jaxtyping import Float, Float32, Int64
    from torch import Tensor

    from .arguments import Task
    from .statistics import ResponseStats

TABLE_SIZE = 2**26  # most logits of the references that are kept at a time: 256 MiB
FEWEST_PROGRAMS = 128  # about one a multiprocessor of the large GPUs


class _Part(NamedTuple):
    """Some tokens of the vocabulary."""

    first: int
    unembedding: Float[Tensor, "v d"]
    bias: Float32[Tensor, " v"]

    def strips(self, block_v: int, programs: int) -> tuple[int, int]:
        """Splits of this part, and strips a split, so that there is enough to do at the same time."""
        strips = triton.cdiv(len(self.bias), block_v)
        per_split = triton.cdiv(strips, min(strips, triton.cdiv(FEWEST_PROGRAMS, max(1, programs))))
        return triton.cdiv(strips, per_split), per_split


def stats(task: Task) -> ResponseStats:
    """Statistics of rows in a first pass over the vocabulary, of groups in a second one."""
    task = _prepared(task)
    device = task.hidden.device
    rows = RowSums.empty(len(task.hidden), device)
    if task.references is None:
        for part in _parts(task):
            rows = rows.beside(_row_sums(task, part, task.hidden, None)).merged()
        return row_stats(rows, None, None)
    references = RowSums.empty(len(task.references.hidden), device)
    for part in _parts(task):
        table = _table(task, part, task.references)
        references = references.beside(_row_sums(task, part, task.references.hidden, None)).merged()
        rows = rows.beside(_row_sums(task, part, task.hidden, (table, task.references.of))).merged()
    found = row_stats(rows, references, task.references.of)
    if task.groups is None:
        return found
    order = GroupOrder.of(task.groups)
    gain, token = _second_pass(task, order, rows, references)
    return order.added(found, task.group_count, gain, token)


def _prepared(task: Task) -> Task:
    """The task in a form that Triton multiplies.

    Triton's interpreter multiplies the bits of bfloat16 as integers, so there (tensors on the CPU) all is
    widened; products of bfloat16 are exact in float32, and the logits are the same.
    """
    if task.hidden.device.type != "cpu" or task.hidden.dtype != torch.bfloat16:
        return task
    references = task.references
    if references is not None:
        references = References(hidden=references.hidden.float(), of=references.of)
    return replace(
        task, hidden=task.hidden.float(), unembedding=task.unembedding.float(), references=references
    )


def _parts(task: Task) -> Iterator[_Part]:
    vocabulary = len(task.unembedding)
    count = 1 if task.references is None else len(task.references.hidden)
    step = min(vocabulary, max(1, TABLE_SIZE // count))
    for start in range(0, vocabulary, step):
        yield _Part(start, task.unembedding[start : start + step], task.bias[start : start + step])


def _tiles(task: Task) -> Tiles:
    return shipped_tiles(task.hidden.dtype, capability_of(task.hidden.device))


def _options(task: Task, tiles: Tiles) -> dict[str, Any]:
    return {
        "SOFTCAP": task.softcap is not None,
        "BLOCK_R": tiles.block_r,
        "BLOCK_V": tiles.block_v,
        "BLOCK_D": tiles.block_d,
        "num_warps": tiles.num_warps,
        "num_stages": tiles.num_stages,
    }


def _table(task: Task, part: _Part, references: References) -> Float32[Tensor, "Q v"]:
    """Logits of the references."""
    hidden, tiles = references.hidden, _tiles(task)
    table = torch.empty(len(hidden), len(part.bias), dtype=torch.float32, device=hidden.device)
    logits_kernel[(triton.cdiv(len(hidden), tiles.block_r), triton.cdiv(len(part.bias), tiles.block_v))](
        hidden, part.unembedding, part.bias, table, len(hidden), hidden.shape[1], len(part.bias),
        *hidden.stride(), *part.unembedding.stride(), task.softcap or 0.0, **_options(task, tiles),
    )  # fmt: skip
    return table


def _row_sums(
    task: Task, part: _Part, hidden: Float[Tensor, "n d"], compared: tuple[Tensor, Tensor] | None
) -> RowSums:
    """The sums [n, S] of every row over every split of this part."""
    tiles = _tiles(task)
    blocks = triton.cdiv(len(hidden), tiles.block_r)
    splits, per_split = part.strips(tiles.block_v, blocks)
    shape = (len(hidden), splits)
    token = torch.empty(shape, dtype=torch.int32, device=hidden.device)
    maximum, total, spread, cross = (
        torch.empty(shape, dtype=torch.float32, device=hidden.device) for _ in range(4)
    )
    # Without a comparison the kernel reads neither of the two, and any pointer will do.
    table, reference = (part.bias, token) if compared is None else compared
    if blocks:
        row_sums_kernel[(blocks, splits)](
            hidden, part.unembedding, part.bias, reference, table, maximum, token, total, spread, cross,
            len(hidden), hidden.shape[1], len(part.bias), splits, per_split,
            *hidden.stride(), *part.unembedding.stride(), task.softcap or 0.0, LOWEST,
            COMPARED=compared is not None, **_options(task, tiles),
        )  # fmt: skip
    return RowSums(
        maximum=maximum.double(),
        token=token.long() + part.first,
        total=total.double(),
        spread=spread.double(),
        cross=cross.double(),
    )


def _second_pass(
    task: Task, order: GroupOrder, rows: RowSums, references: RowSums
) -> tuple[Float32[Tensor, " P"], Int64[Tensor, " P"]]:
    """The largest gain of each group that has rows, and its token."""
    if task.references is None:
        raise ValueError("gains need references")
    hidden, device, count = task.hidden, task.hidden.device, len(order.present)
    tiles = _tiles(task)
    gain = torch.full((count,), LOWEST, device=device)
    token = torch.zeros(count, dtype=torch.int64, device=device)
    if count == 0:
        return gain, token
    bundles = triton.cdiv(count, BLOCK_G)
    bounds = torch.cat([order.offsets[:-1:BLOCK_G], order.offsets[-1:]])
    sizes = torch.ones(bundles * BLOCK_G, device=device)
    sizes[:count] = order.offsets.diff().float()
    group = torch.arange(count, device=device).repeat_interleave(
        order.offsets.diff(), output_size=len(hidden)
    )
    maximum, scale = (part[order.order].float() for part in (rows.maximum, rows.total.reciprocal()))
    for part in _parts(task):
        table = _table(task, part, task.references)
        table.sub_(references.maximum[:, None].float()).exp_()
        table.mul_(references.total.reciprocal()[:, None].float())
        splits, per_split = part.strips(tiles.block_v, bundles)
        best = torch.empty(bundles, splits, BLOCK_G, dtype=torch.float32, device=device)
        where = torch.empty(bundles, splits, BLOCK_G, dtype=torch.int32, device=device)
        group_gains_kernel[(bundles, splits)](
            hidden, part.unembedding, part.bias, order.order, group, task.references.of[order.order],
            maximum, scale, table, bounds, sizes, best, where,
            hidden.shape[1], len(part.bias), splits, per_split,
            *hidden.stride(), *part.unembedding.stride(), task.softcap or 0.0, LOWEST,
            BLOCK_G=BLOCK_G, **_options(task, tiles),
        )  # fmt: skip
        # Splits are in the order of tokens: the lowest token among equals is in the first of them.
        highest = best.amax(dim=1)
        first = torch.where(best == highest[:, None], where, torch.iinfo(torch.int32).max).amin(dim=1)
        highest, first = highest.flatten()[:count], first.flatten()[:count].long() + part.first
        token = torch.where(highest > gain, first, token)
        gain = torch.maximum(highest, gain)
    return gain, token
