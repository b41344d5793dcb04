"""Feature statistics in Triton, fused with the encoder: a program owns features and walks over tokens.

    per (segment of one group's tokens, feature):  count, sum, sum of squares, maximum, its first token
    per (group, feature, bin):                     count

Feature-stationary: the statistics of a strip of features stay in registers while tiles of tokens pass by.
Tokens are sorted by group beforehand (stable, so they stay in order within a group) and cut into segments
of one group and at most SEGMENT_TOKENS tokens. Pre-activations and the sums within a tile of tokens are
float32, sums over tiles and segments float64; segments are added up in order. The histogram is counted by
atomic additions of whole numbers, whose order does not matter. Deterministic, and independent of the number
of multiprocessors.

TopK and its like have no threshold that is known beforehand: their codes come from the encoder's kernels chunk by chunk and
are reduced by sorting (`sorted_codes.py`). Source: ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from ..sae_encode import triton_passes as encoder_passes
from ..sae_encode.triton_kernel import Tiles, capability_of, pre_activation_tile
from . import sorted_codes
from .histogram import BINS, FIRST, SHIFT
from .statistics import NO_TOKEN, FeatureStats

if TYPE_CHECKING:
    from jaxtyping import Float, Int64
    from torch import Tensor

    from ..sae_encode.arguments import Encoder

# N tokens (sorted by group) · D width · F features · P segments

SEGMENT_TOKENS = 2**13
CHUNK_TOKENS = 2**16  # tokens sorted and counted at a time


def shipped_tiles(dtype: torch.dtype, capability: int, *, histogram: bool) -> Tiles:
    """The largest tiles that spill no register: float32 has no tensor-core path at full precision."""
    if dtype == torch.float32:
        return Tiles(block_n=32, block_f=64, block_d=32, num_warps=8 if histogram else 4, num_stages=2)
    if capability >= 100:
        return Tiles(block_n=64, block_f=32 if histogram else 64, block_d=64, num_warps=8, num_stages=4)
    if histogram:
        return Tiles(block_n=64, block_f=64, block_d=64, num_warps=8, num_stages=4)
    return Tiles(block_n=128, block_f=64, block_d=64, num_warps=8, num_stages=3)


@triton.jit
def feature_stats_kernel(
    x_ptr,  # [N, D]
    w_ptr,  # [F, D]
    b_ptr,  # [F]
    s_ptr,  # [F] what pre-activations are multiplied by, read if SCALED
    floor_ptr,  # [F]
    group_ptr,  # int64 [P]: the segment's group, read if HISTOGRAM
    bounds_ptr,  # int64 [P, 2]: first row of the segment, and one past its last
    count_ptr,  # int64 [P, F]
    total_ptr,  # float64 [P, F]
    square_ptr,  # float64 [P, F]
    maximum_ptr,  # float32 [P, F]
    row_ptr,  # int64 [P, F]: row of the maximum, -1 where nothing fired
    histogram_ptr,  # int64 [G, F, BINS], written if HISTOGRAM
    D,
    F,
    stride_x_n,
    stride_x_d,
    stride_w_f,
    stride_w_d,
    HISTOGRAM: tl.constexpr,
    SCALED: tl.constexpr,
    SHIFT: tl.constexpr,
    FIRST: tl.constexpr,
    BINS: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_F: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    features = tl.program_id(0).to(tl.int64) * BLOCK_F + tl.arange(0, BLOCK_F)
    segment = tl.program_id(1).to(tl.int64)
    first = tl.load(bounds_ptr + segment * 2)
    end = tl.load(bounds_ptr + segment * 2 + 1)
    size = (end - first).to(tl.int32)
    floor = tl.load(floor_ptr + features, mask=features < F, other=float("inf"))

    count = tl.zeros((BLOCK_F,), dtype=tl.int32)
    total = tl.zeros((BLOCK_F,), dtype=tl.float64)
    square = tl.zeros((BLOCK_F,), dtype=tl.float64)
    maximum = tl.zeros((BLOCK_F,), dtype=tl.float32)
    row = tl.full((BLOCK_F,), -1, dtype=tl.int32)
    for start in range(0, size, BLOCK_N):
        rows = start + tl.arange(0, BLOCK_N)
        pre = pre_activation_tile(
            x_ptr, w_ptr, b_ptr, s_ptr, first + rows, features, end, D, F,
            stride_x_n, stride_x_d, stride_w_f, stride_w_d, SCALED, BLOCK_N, BLOCK_F, BLOCK_D,
        )  # fmt: skip
        fires = (pre > floor[None, :]) & (rows[:, None] < size)
        value = tl.where(fires, pre, 0.0)
        count += tl.sum(fires.to(tl.int32), axis=0)
        total += tl.sum(value, axis=0).to(tl.float64)
        square += tl.sum(value * value, axis=0).to(tl.float64)
        if HISTOGRAM:
            bins = (value.to(tl.int32, bitcast=True) >> SHIFT) - FIRST
            bins = tl.minimum(tl.maximum(bins, 0), BINS - 1).to(tl.int64)
            group = tl.load(group_ptr + segment)
            cells = histogram_ptr + ((group * F + features)[None, :] * BINS + bins)
            tl.atomic_add(cells, tl.full((BLOCK_N, BLOCK_F), 1, dtype=tl.int64), mask=fires)
        highest = tl.max(value, axis=0)
        reached = tl.where(value == highest[None, :], rows[:, None], 2147483647)
        # Tiles come in token order: only a larger value moves the maximum.
        risen = highest > maximum
        row = tl.where(risen, tl.min(reached, axis=0), row)
        maximum = tl.where(risen, highest, maximum)

    address = segment * F + features
    inside = features < F
    tl.store(count_ptr + address, count.to(tl.int64), mask=inside)
    tl.store(total_ptr + address, total, mask=inside)
    tl.store(square_ptr + address, square, mask=inside)
    tl.store(maximum_ptr + address, maximum, mask=inside)
    tl.store(row_ptr + address, tl.where(row < 0, -1, first + row), mask=inside)


def stats_of_tokens(
    x: Float[Tensor, "N d"],
    encoder: Encoder,
    groups: Int64[Tensor, " N"],
    group_count: int,
    token_offset: int,
    *,
    histogram: bool = False,
) -> FeatureStats:
    """Encode and count in one go, chunk of tokens by chunk of tokens."""
    if encoder.activation == "batchtopk":
        codes = encoder_passes.encode(x, encoder)
        return sorted_codes.stats_of_codes(codes, groups, group_count, token_offset, histogram=histogram)
    stats = FeatureStats.empty(group_count, encoder.feature_count, device=x.device, histogram=histogram)
    for start in range(0, len(x), CHUNK_TOKENS):
        chunk, group_of = x[start : start + CHUNK_TOKENS], groups[start : start + CHUNK_TOKENS]
        offset = token_offset + start
        if encoder.k is not None:
            codes = encoder_passes.encode(chunk, encoder)
            added = sorted_codes.stats_of_codes(codes, group_of, group_count, offset, histogram=histogram)
        else:
            added = _fused(chunk, encoder, group_of, group_count, offset, histogram=histogram)
        stats = stats.merge(added)
    return stats


def _fused(
    x: Float[Tensor, "n d"],
    encoder: Encoder,
    groups: Int64[Tensor, " n"],
    group_count: int,
    token_offset: int,
    *,
    histogram: bool,
) -> FeatureStats:
    order = torch.sort(groups, stable=True).indices
    sorted_x, operands = encoder_passes.prepared(x[order], encoder)
    sizes = (groups[:, None] == torch.arange(group_count, device=x.device)).sum(dim=0)
    segments = _segments(sizes.tolist())
    bounds = torch.tensor([[first, end] for _, first, end in segments], device=x.device)
    group_of = torch.tensor([group for group, _, _ in segments], device=x.device)

    shape = (len(segments), encoder.feature_count)
    count = torch.empty(shape, dtype=torch.int64, device=x.device)
    total = torch.empty(shape, dtype=torch.float64, device=x.device)
    square = torch.empty(shape, dtype=torch.float64, device=x.device)
    maximum = torch.empty(shape, dtype=torch.float32, device=x.device)
    row = torch.empty(shape, dtype=torch.int64, device=x.device)
    stats = FeatureStats.empty(group_count, encoder.feature_count, device=x.device, histogram=histogram)
    tiles = shipped_tiles(sorted_x.dtype, capability_of(x.device), histogram=histogram)
    feature_stats_kernel[(triton.cdiv(encoder.feature_count, tiles.block_f), len(segments))](
        sorted_x, operands.w_enc, encoder.b_enc, encoder_passes.scale_of(encoder), encoder.firing_floor,
        group_of, bounds, count, total, square, maximum, row,
        count if stats.histogram is None else stats.histogram,
        x.shape[1], encoder.feature_count,
        sorted_x.stride(0), sorted_x.stride(1), operands.w_enc.stride(0), operands.w_enc.stride(1),
        HISTOGRAM=histogram, SCALED=encoder.feature_scale is not None, SHIFT=SHIFT, FIRST=FIRST, BINS=BINS,
        BLOCK_N=tiles.block_n, BLOCK_F=tiles.block_f, BLOCK_D=tiles.block_d,
        num_warps=tiles.num_warps, num_stages=tiles.num_stages,
    )  # fmt: skip

    stats.token_count.copy_(sizes)
    token = torch.where(row < 0, NO_TOKEN, order[row.clamp(min=0)] + token_offset)
    for index, (group, _, _) in enumerate(segments):
        stats.firing_count[group] += count[index]
        stats.value_sum[group] += total[index]
        stats.square_sum[group] += square[index]
        # Segments of a group are in token order.
        risen = maximum[index] > stats.maximum[group]
        stats.maximum[group] = torch.where(risen, maximum[index], stats.maximum[group])
        stats.maximum_token[group] = torch.where(risen, token[index], stats.maximum_token[group])
    return stats


def _segments(sizes: list[int]) -> list[tuple[int, int, int]]:
    """(group, first row, one past the last row) of runs of one group's tokens in the sorted order."""
    segments, first = [], 0
    for group, size in enumerate(sizes):
        end = first + size
        segments += [
            (group, start, min(start + SEGMENT_TOKENS, end)) for start in range(first, end, SEGMENT_TOKENS)
        ]
        first = end
    return segments
