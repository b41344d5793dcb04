"""SAE encoding on a CPU: a blocked matrix product whose output never leaves the cache.

    pre = ((normalised(x) - centre) @ w_encᵀ + b_enc) · feature_scale, in blocks of about BLOCK_SIZE
    numbers, in one reused buffer a thread

Float32 inputs and accumulation (half-precision inputs are widened exactly). Each thread works on a block
of its own with a product of one thread (`threads.py`). Deterministic for a given number of threads. One
comparison pass over a block finds the survivors; all later work is on them alone.

TopK keeps the k best of the strips seen so far. The k-th of them is the level that the next strip has to
reach. For the first strip it is the k-th largest of maxima over disjoint sets of features: k different
features reach that level, so nothing below it can be among the k best. BatchTopK takes the lowest such
level of all blocks for all of them. Source: ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from .ranking import best_of_batch
from .sparse_codes import SparseCodes
from .threads import side_by_side

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jaxtyping import Float, Float32
    from numpy.typing import NDArray
    from torch import Tensor

    from .arguments import Encoder

# 8 MiB of float32 a thread: half and twice as much are within a few hundredths of it (d = 768 and 2304,
# F = 16384, two cores).
BLOCK_SIZE = 2**21
STRIP_FEATURES = 2048
# Row numbers of a block fit 16 bits, which numpy sorts by radix.
MOST_ROWS = 2**13
# Feature sets a token in the first TopK strip, as a multiple of k: more sets, a sharper level.
SETS_PER_K = 4
EMPTY = np.iinfo(np.int64).min


class Survivors(NamedTuple):
    """What is left of one block: the entries that passed the comparison, tokens ascending."""

    rows: NDArray[np.int64]
    features: NDArray[np.int64]
    values: NDArray[np.float32]


class Buffers:
    """The memory that one thread computes a block of `size` numbers in."""

    def __init__(self, size: int | None = None) -> None:
        self.pre = torch.empty(size or BLOCK_SIZE)
        self.mask = np.empty(size or BLOCK_SIZE, dtype=np.bool_)
        self.size = np.empty(0, dtype=np.float32)

    def sizes(self, pre: NDArray[np.float32]) -> NDArray[np.float32]:
        """The absolute values of a block."""
        if len(self.size) < pre.size:
            self.size = np.empty(len(self.mask), dtype=np.float32)
        return np.abs(pre, out=self.size[: pre.size].reshape(pre.shape))


def encode(x: Float[Tensor, "N d"], encoder: Encoder) -> SparseCodes:
    """Codes of every token, without the [N, F] matrix."""
    if encoder.activation == "batchtopk":
        return _encode_batch(x, encoder)
    if encoder.k is not None:
        blocks = [codes for _, codes in top_blocks(x, encoder)]
        counts = [np.zeros(1, dtype=np.int64), np.full(len(x), encoder.k)]
    else:
        tokens = token_blocks(len(x), encoder.feature_count)
        blocks = list(
            side_by_side(lambda block, buffers: _firing(x, encoder, block, buffers), tokens, Buffers)
        )
        counts = [np.zeros(1, dtype=np.int64)]
        counts += [
            np.bincount(found.rows, minlength=block.stop - block.start)
            for block, found in zip(tokens, blocks, strict=True)
        ]
    return SparseCodes(
        row_offsets=torch.from_numpy(np.concatenate(counts).cumsum()),
        indices=torch.from_numpy(np.concatenate([np.zeros(0, np.int64), *(b.features for b in blocks)])),
        values=torch.from_numpy(np.concatenate([np.zeros(0, np.float32), *(b.values for b in blocks)])),
        feature_count=encoder.feature_count,
    )


def token_blocks(token_count: int, feature_count: int, block_size: int | None = None) -> list[slice]:
    """Runs of tokens of which one strip of features fits the buffer.

    They are about equally long, and as many that every thread has the same number of them.
    """
    most = min(max(1, (block_size or BLOCK_SIZE) // min(feature_count, STRIP_FEATURES)), MOST_ROWS)
    threads = torch.get_num_threads()
    rounds = -(-token_count // (most * threads))
    step = max(1, -(-token_count // max(1, rounds * threads)))
    return [slice(start, min(start + step, token_count)) for start in range(0, token_count, step)]


def feature_strips(feature_count: int) -> list[slice]:
    """Runs of features that are worked on together."""
    return [
        slice(start, min(start + STRIP_FEATURES, feature_count))
        for start in range(0, feature_count, STRIP_FEATURES)
    ]


def firing_in(
    x: Float[Tensor, "N d"], encoder: Encoder, tokens: slice, strip: slice, buffers: Buffers
) -> Survivors:
    """Features of a strip above their floor; rows count from the start of the block, features from 0."""
    pre = _pre_activations(encoder.prepared(x[tokens]), encoder, strip, buffers)
    mask = buffers.mask[: pre.size].reshape(pre.shape)
    firing = np.greater(pre, encoder.firing_floor[strip].numpy(), out=mask)
    return survivors(pre, firing, strip.start)


def _firing(x: Float[Tensor, "N d"], encoder: Encoder, tokens: slice, buffers: Buffers) -> Survivors:
    strips = feature_strips(encoder.feature_count)
    return _join_strips([firing_in(x, encoder, tokens, strip, buffers) for strip in strips])


def top_blocks(x: Float[Tensor, "N d"], encoder: Encoder) -> Iterator[tuple[slice, Survivors]]:
    """The k codes of every token, block of tokens by block of tokens, the best first."""
    if encoder.k is None or encoder.activation == "batchtopk":
        raise ValueError(f"top_blocks needs topk or abstopk, got {encoder.activation}")
    blocks = token_blocks(len(x), encoder.feature_count)
    found = side_by_side(lambda block, buffers: _top(x[block], encoder, buffers), blocks, Buffers)
    yield from zip(blocks, found, strict=True)


def _top(x: Float[Tensor, "n d"], encoder: Encoder, buffers: Buffers) -> Survivors:
    k, signed = encoder.k or 1, encoder.activation == "abstopk"
    activations = encoder.prepared(x).float()
    best = np.full((len(activations), k), EMPTY)
    level: NDArray[np.float32] | None = None
    for strip in feature_strips(encoder.feature_count):
        pre = _pre_activations(activations, encoder, strip, buffers)
        size = buffers.sizes(pre) if signed else pre
        if level is None:
            level = first_level(size, k)
        mask = buffers.mask[: pre.size].reshape(pre.shape)
        reached = np.greater_equal(size, level[:, None], out=mask)
        best = keep_best(best, survivors(pre, reached, strip.start), signed=signed)
        level = lowest_of(best)
    return _unpacked(best, signed=signed)


def best_of(found: Survivors, row_count: int, k: int, *, signed: bool) -> Survivors:
    """The k best entries of every row, the best first; each row must have at least k."""
    best = keep_best(np.full((row_count, k), EMPTY), found, signed=signed)
    return _unpacked(best, signed=signed)


def lowest_of(best: NDArray[np.int64]) -> NDArray[np.float32]:
    """The value that an entry must reach to be among the k best of its row; minus infinity while they are fewer."""
    return np.where(best[:, 0] != EMPTY, _unpack(best[:, 0])[1], np.float32(-np.inf))


def _unpacked(best: NDArray[np.int64], *, signed: bool) -> Survivors:
    features, values = _unpack(best[:, ::-1])
    values = np.where(best[:, ::-1] & 1, values, -values) if signed else np.maximum(values, 0)
    rows = np.repeat(np.arange(len(best)), best.shape[1])
    return Survivors(rows, features.reshape(-1), values.reshape(-1))


def _encode_batch(x: Float[Tensor, "N d"], encoder: Encoder) -> SparseCodes:
    most = len(x) * (encoder.k or 1)
    blocks = token_blocks(len(x), encoder.feature_count)
    strips = feature_strips(encoder.feature_count)

    def first_level(tokens: slice, buffers: Buffers) -> float:
        pre = _pre_activations(encoder.prepared(x[tokens]), encoder, strips[0], buffers)
        count = len(pre) * (encoder.k or 1)
        depth = max(1, pre.size // (SETS_PER_K * count))
        maxima = pre.reshape(-1)[: pre.size // depth * depth].reshape(depth, -1).max(axis=0)
        return float(np.partition(maxima, len(maxima) - count)[-count]) if len(maxima) >= count else 0.0

    # Every block has its share of entries at the lowest of the blocks' levels, so the batch has N·k there.
    level = max(0.0, min(side_by_side(first_level, blocks, Buffers), default=0.0))

    def above(tokens: slice, buffers: Buffers) -> Survivors:
        found = []
        for strip in strips:
            pre = _pre_activations(encoder.prepared(x[tokens]), encoder, strip, buffers)
            mask = buffers.mask[: pre.size].reshape(pre.shape)
            compare = np.greater_equal if level > 0 else np.greater
            found.append(survivors(pre, compare(pre, np.float32(level), out=mask), strip.start))
        rows, features, values = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return Survivors(rows + tokens.start, features, values)

    kept = list(side_by_side(above, blocks, Buffers))
    return best_of_batch(
        torch.from_numpy(np.concatenate([np.zeros(0, np.int64), *(b.rows for b in kept)])),
        torch.from_numpy(np.concatenate([np.zeros(0, np.int64), *(b.features for b in kept)])),
        torch.from_numpy(np.concatenate([np.zeros(0, np.float32), *(b.values for b in kept)])),
        token_count=len(x),
        feature_count=encoder.feature_count,
        most=most,
    )


def _pre_activations(
    x: Float[Tensor, "n d"], encoder: Encoder, strip: slice, buffers: Buffers
) -> NDArray[np.float32]:
    weights: Float32[Tensor, "d f"] = encoder.w_enc[strip].float().T
    shape = (len(x), strip.stop - strip.start)
    out = buffers.pre[: shape[0] * shape[1]].view(shape)
    torch.addmm(encoder.b_enc[strip], x.float(), weights, out=out)
    if encoder.feature_scale is not None:
        out *= encoder.feature_scale[strip]
    return out.numpy()


def survivors(pre: NDArray[np.float32], kept: NDArray[np.bool_], first_feature: int) -> Survivors:
    """The kept entries of a block; features count from `first_feature`."""
    flat = np.flatnonzero(kept)
    rows, columns = np.divmod(flat, pre.shape[1])
    return Survivors(rows, columns + first_feature, pre.reshape(-1)[flat])


def _join_strips(strips: list[Survivors]) -> Survivors:
    """The strips of one block of tokens in token order; features stay ascending within a token."""
    if len(strips) == 1:
        return strips[0]
    rows, features, values = (np.concatenate(parts) for parts in zip(*strips, strict=True))
    order = np.argsort(rows.astype(np.uint16), kind="stable")
    return Survivors(rows[order], features[order], values[order])


def first_level(pre: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """A level that at least k features of each token reach, or minus infinity."""
    rows, width = pre.shape
    if width <= k:
        return np.full(rows, -np.inf, dtype=np.float32)
    depth = max(1, width // (SETS_PER_K * k))
    sets = width // depth
    # Sets lie across the row, so that the maximum runs along contiguous memory; a remainder of features
    # stays out, which can only lower the level.
    maxima = torch.from_numpy(pre[:, : sets * depth]).view(rows, depth, sets).amax(dim=1).numpy()
    return np.partition(maxima, sets - k, axis=1)[:, sets - k]


def keep_best(best: NDArray[np.int64], found: Survivors, *, signed: bool) -> NDArray[np.int64]:
    """The k largest keys a row, ascending, of those kept so far and those found now."""
    rows, k = best.shape
    counts = np.bincount(found.rows, minlength=rows)
    widest = int(counts.max(initial=0))
    candidates = np.full((rows, k + widest), EMPTY)
    candidates[:, :k] = best
    position = np.arange(len(found.rows)) - (counts.cumsum() - counts)[found.rows]
    candidates[found.rows, k + position] = _pack(found.features, found.values, signed=signed)
    candidates.sort(axis=1)
    return candidates[:, widest:]


def _pack(features: NDArray[np.int64], values: NDArray[np.float32], *, signed: bool) -> NDArray[np.int64]:
    """One integer an entry whose order is: value ascending (`signed`: absolute value), then feature descending.

    Its lowest bit is 0 for a negative value of a signed entry, else 1.
    """
    # Adding 0 turns -0.0 into 0.0; flipping the lower bits makes negative floats order as integers.
    bits = (np.abs(values) if signed else values + np.float32(0)).view(np.int32)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    negative = (values < 0) if signed else 0
    return (ordered.astype(np.int64) << 32) | (0xFFFFFFFF - (2 * features + negative))


def _unpack(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    ordered = (keys >> 32).astype(np.int32)
    bits = ordered ^ ((ordered >> 31) & 0x7FFFFFFF)
    return (0xFFFFFFFF - (keys & 0xFFFFFFFF)) >> 1, bits.view(np.float32)
