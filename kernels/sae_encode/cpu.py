"""SAE encoding on a CPU: a blocked matrix product whose output never leaves the cache.

    pre = (x - centre) @ w_encᵀ + b_enc, in blocks of about BLOCK_SIZE numbers, in one reused buffer.

Float32 inputs and accumulation (half-precision inputs are widened exactly). Deterministic for a given
number of threads. One comparison pass over a block finds the survivors; all later work is on them alone.

TopK keeps the k best of the strips seen so far. The k-th of them is the level that the next strip has to
reach. For the first strip it is the k-th largest of maxima over disjoint sets of features: k different
features reach that level, so nothing below it can be among the k best. Source: ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from .sparse_codes import SparseCodes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jaxtyping import Float, Float32
    from numpy.typing import NDArray
    from torch import Tensor

    from .arguments import Encoder

# 8 MiB of float32: measured best of 1 to 16 MiB for d = 768, F = 16384, where smaller blocks spend their
# time in re-packing the weights.
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


def encode(x: Float[Tensor, "N d"], encoder: Encoder) -> SparseCodes:
    """Codes of every token, without the [N, F] matrix."""
    if encoder.k is not None:
        blocks = [codes for _, codes in top_blocks(x, encoder)]
        row_offsets = torch.arange(len(x) + 1) * encoder.k
        features = [block.features for block in blocks]
        values = [block.values for block in blocks]
    else:
        counts, features, values = [np.zeros(1, dtype=np.int64)], [], []
        for tokens in token_blocks(len(x), encoder.feature_count):
            strips = [found for _, found in firing_strips(x, encoder, [tokens])]
            block = _join_strips(strips)
            counts.append(np.bincount(block.rows, minlength=tokens.stop - tokens.start))
            features.append(block.features)
            values.append(block.values)
        row_offsets = torch.from_numpy(np.concatenate(counts).cumsum())
    return SparseCodes(
        row_offsets=row_offsets,
        indices=torch.from_numpy(np.concatenate([np.zeros(0, np.int64), *features])),
        values=torch.from_numpy(np.concatenate([np.zeros(0, np.float32), *values])),
        feature_count=encoder.feature_count,
    )


def token_blocks(token_count: int, feature_count: int, k: int = 0) -> list[slice]:
    """Runs of tokens of which one strip of features, and k entries a token besides, fit the buffer."""
    step = min(max(1, BLOCK_SIZE // (min(feature_count, STRIP_FEATURES) + k)), MOST_ROWS)
    return [slice(start, min(start + step, token_count)) for start in range(0, token_count, step)]


def feature_strips(feature_count: int) -> list[slice]:
    """Runs of features that are worked on together."""
    return [
        slice(start, min(start + STRIP_FEATURES, feature_count))
        for start in range(0, feature_count, STRIP_FEATURES)
    ]


def firing_strips(
    x: Float[Tensor, "N d"], encoder: Encoder, blocks: list[slice]
) -> Iterator[tuple[slice, Survivors]]:
    """Features above their floor, for every strip of features and, within it, every block of tokens.

    Rows count from the start of the block, features from 0.
    """
    floor = encoder.firing_floor.numpy()
    buffer = torch.empty(BLOCK_SIZE)
    mask = np.empty(BLOCK_SIZE, dtype=np.bool_)
    for strip in feature_strips(encoder.feature_count):
        weights, bias = encoder.w_enc[strip].float().T, encoder.b_enc[strip]
        for tokens in blocks:
            pre = _pre_activations(encoder.centred(x[tokens]), weights, bias, buffer)
            firing = np.greater(pre, floor[strip], out=mask[: pre.size].reshape(pre.shape))
            yield tokens, _survivors(pre, firing, strip.start)


def top_blocks(x: Float[Tensor, "N d"], encoder: Encoder) -> Iterator[tuple[slice, Survivors]]:
    """The k codes of every token, block of tokens by block of tokens, by value descending."""
    k = encoder.k
    if k is None:
        raise ValueError("top_blocks needs topk, got an activation with a threshold; use firing_strips")
    buffer = torch.empty(BLOCK_SIZE)
    mask = np.empty(BLOCK_SIZE, dtype=np.bool_)
    for tokens in token_blocks(len(x), encoder.feature_count, k):
        activations = encoder.centred(x[tokens]).float()
        best = np.full((len(activations), k), EMPTY)
        level: NDArray[np.float32] | None = None
        for strip in feature_strips(encoder.feature_count):
            weights, bias = encoder.w_enc[strip].float().T, encoder.b_enc[strip]
            pre = _pre_activations(activations, weights, bias, buffer)
            if level is None:
                level = _first_level(pre, k)
            reached = np.greater_equal(pre, level[:, None], out=mask[: pre.size].reshape(pre.shape))
            best = _keep_best(best, _survivors(pre, reached, strip.start))
            filled = best[:, 0] != EMPTY
            level = np.where(filled, _unpack(best[:, 0])[1], np.float32(-np.inf))
        features, values = _unpack(best[:, ::-1])
        rows = np.repeat(np.arange(len(activations)), k)
        yield tokens, Survivors(rows, features.reshape(-1), np.maximum(values, 0).reshape(-1))


def _pre_activations(
    x: Float[Tensor, "n d"], weights: Float32[Tensor, "d f"], bias: Float32[Tensor, " f"], buffer: Tensor
) -> NDArray[np.float32]:
    shape = (len(x), len(bias))
    out = buffer[: shape[0] * shape[1]].view(shape)
    return torch.addmm(bias, x.float(), weights, out=out).numpy()


def _survivors(pre: NDArray[np.float32], kept: NDArray[np.bool_], first_feature: int) -> Survivors:
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


def _first_level(pre: NDArray[np.float32], k: int) -> NDArray[np.float32]:
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


def _keep_best(best: NDArray[np.int64], found: Survivors) -> NDArray[np.int64]:
    """The k largest keys a row, ascending, of those kept so far and those found now."""
    rows, k = best.shape
    counts = np.bincount(found.rows, minlength=rows)
    widest = int(counts.max(initial=0))
    candidates = np.full((rows, k + widest), EMPTY)
    candidates[:, :k] = best
    position = np.arange(len(found.rows)) - (counts.cumsum() - counts)[found.rows]
    candidates[found.rows, k + position] = _pack(found.features, found.values)
    candidates.sort(axis=1)
    return candidates[:, widest:]


def _pack(features: NDArray[np.int64], values: NDArray[np.float32]) -> NDArray[np.int64]:
    """One integer an entry whose order is: value ascending, then feature descending."""
    # Adding 0 turns -0.0 into 0.0; flipping the lower bits makes negative floats order as integers.
    bits = (values + np.float32(0)).view(np.int32)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return (ordered.astype(np.int64) << 32) | (0xFFFFFFFF - features)


def _unpack(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    ordered = (keys >> 32).astype(np.int32)
    bits = ordered ^ ((ordered >> 31) & 0x7FFFFFFF)
    return 0xFFFFFFFF - (keys & 0xFFFFFFFF), bits.view(np.float32)
