"""The sparse products in Triton: sums of gathered rows, and dot products of gathered rows.

    weighted_rows:  out[s] = Σ weight[e] · rows[index[e]]   over the entries of segment s
    entry_dots:     out[e] = left[token[e]] · right[feature[e]]

Rows are read in their own dtype, everything else is float32. A program owns one segment and a block of
columns, and loads several entries' rows at a time: with tokens in blocks a program would run as long as its
longest token. Segments of `combine` are tokens. `collect` sorts the entries by feature (stable) and cuts them
into pieces of at most PIECE_ENTRIES, so that a feature that always fires is not one program's work; pieces are
added up in order by the same kernel. No atomics: deterministic. Source: ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from .by_feature import ByFeature

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int64
    from torch import Tensor

    from ..sae_encode import SparseCodes

# M entries · D width · segments: tokens, pieces of features, or features
BLOCK_E = 16
BLOCK_D = 128
NUM_WARPS = 4
PIECE_ENTRIES = 512


@triton.jit
def weighted_rows_kernel(
    offsets_ptr,  # int64 [segments + 1]
    index_ptr,  # int64 [M]
    weight_ptr,  # float32 [M]
    rows_ptr,  # [rows, D]
    out_ptr,  # float32 [segments, D]
    D,
    stride_rows_n,
    stride_rows_d,
    BLOCK_E: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    segment = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1).to(tl.int64) * BLOCK_D + tl.arange(0, BLOCK_D)
    first = tl.load(offsets_ptr + segment)
    size = tl.load(offsets_ptr + segment + 1) - first
    total = tl.zeros((BLOCK_E, BLOCK_D), dtype=tl.float32)
    for start in range(0, size, BLOCK_E):
        entries = start + tl.arange(0, BLOCK_E)
        inside = entries < size
        weight = tl.load(weight_ptr + first + entries, mask=inside, other=0.0)
        row = tl.load(index_ptr + first + entries, mask=inside, other=0)
        tile = tl.load(
            rows_ptr + row[:, None] * stride_rows_n + columns[None, :] * stride_rows_d,
            mask=inside[:, None] & (columns[None, :] < D),
            other=0.0,
        )
        total += weight[:, None] * tile.to(tl.float32)
    tl.store(out_ptr + segment * D + columns, tl.sum(total, axis=0), mask=columns < D)


@triton.jit
def entry_dots_kernel(
    token_ptr,  # int64 [M]
    feature_ptr,  # int64 [M]
    left_ptr,  # [N, D]
    right_ptr,  # [F, D]
    out_ptr,  # float32 [M]
    M,
    D,
    stride_left_n,
    stride_left_d,
    stride_right_n,
    stride_right_d,
    BLOCK_E: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    entries = tl.program_id(0).to(tl.int64) * BLOCK_E + tl.arange(0, BLOCK_E)
    inside = entries < M
    token = tl.load(token_ptr + entries, mask=inside, other=0)
    feature = tl.load(feature_ptr + entries, mask=inside, other=0)
    left_rows = left_ptr + token[:, None] * stride_left_n
    right_rows = right_ptr + feature[:, None] * stride_right_n
    total = tl.zeros((BLOCK_E, BLOCK_D), dtype=tl.float32)
    for start in range(0, D, BLOCK_D):
        columns = (start + tl.arange(0, BLOCK_D)).to(tl.int64)
        mask = inside[:, None] & (columns[None, :] < D)
        left = tl.load(left_rows + columns[None, :] * stride_left_d, mask=mask, other=0.0)
        right = tl.load(right_rows + columns[None, :] * stride_right_d, mask=mask, other=0.0)
        total += left.to(tl.float32) * right.to(tl.float32)
    tl.store(out_ptr + entries, tl.sum(total, axis=1), mask=inside)


def combine(
    codes: SparseCodes, weights: Float32[Tensor, " M"], rows: Float[Tensor, "F d"]
) -> Float32[Tensor, "N d"]:
    """For each token, the weighted sum of its features' rows."""
    return _weighted_rows(codes.row_offsets, codes.indices, weights, rows)


def by_feature(codes: SparseCodes) -> ByFeature:
    """The entries sorted by feature, tokens ascending within a feature."""
    features, order = torch.sort(codes.indices, stable=True)
    bounds = torch.arange(codes.feature_count + 1, device=features.device)
    return ByFeature(
        offsets=torch.searchsorted(features, bounds), order=order, tokens=codes.entry_tokens()[order]
    )


def collect(
    entries: ByFeature, weights: Float32[Tensor, " M"], rows: Float[Tensor, "N d"]
) -> Float32[Tensor, "F d"]:
    """For each feature, the weighted sum of its tokens' rows, by way of pieces where a feature fires often."""
    sizes = entries.offsets.diff()
    pieces = (sizes + PIECE_ENTRIES - 1) // PIECE_ENTRIES
    sorted_weights = weights[entries.order]
    if int(pieces.max()) <= 1:
        return _weighted_rows(entries.offsets, entries.tokens, sorted_weights, rows)
    first_piece = torch.zeros_like(entries.offsets)
    first_piece[1:] = pieces.cumsum(dim=0)
    count = int(first_piece[-1])
    numbers = torch.arange(count, device=sizes.device)
    feature = torch.repeat_interleave(pieces, output_size=count)
    piece_offsets = torch.empty(count + 1, dtype=torch.int64, device=sizes.device)
    piece_offsets[:-1] = entries.offsets[feature] + (numbers - first_piece[feature]) * PIECE_ENTRIES
    piece_offsets[-1] = entries.offsets[-1]
    partial = _weighted_rows(piece_offsets, entries.tokens, sorted_weights, rows)
    return _weighted_rows(first_piece, numbers, torch.ones(count, device=sizes.device), partial)


def dots(
    codes: SparseCodes, left: Float[Tensor, "N d"], right: Float[Tensor, "F d"]
) -> Float32[Tensor, " M"]:
    """For each entry, its token's row times its feature's row."""
    tokens = codes.entry_tokens()
    out = torch.empty(len(tokens), dtype=torch.float32, device=left.device)
    if len(tokens):
        entry_dots_kernel[(triton.cdiv(len(tokens), BLOCK_E),)](
            tokens, codes.indices.contiguous(), left, right, out,
            len(tokens), left.shape[1], left.stride(0), left.stride(1), right.stride(0), right.stride(1),
            BLOCK_E=BLOCK_E, BLOCK_D=BLOCK_D, num_warps=NUM_WARPS,
        )  # fmt: skip
    return out


def _weighted_rows(
    offsets: Int64[Tensor, " S+1"],
    indices: Int64[Tensor, " M"],
    weights: Float32[Tensor, " M"],
    rows: Float[Tensor, "T d"],
) -> Float32[Tensor, "S d"]:
    segments, width = offsets.numel() - 1, rows.shape[1]
    out = torch.empty(segments, width, dtype=torch.float32, device=rows.device)
    if segments:
        weighted_rows_kernel[(segments, triton.cdiv(width, BLOCK_D))](
            offsets.contiguous(), indices.contiguous(), weights.contiguous(), rows, out,
            width, rows.stride(0), rows.stride(1),
            BLOCK_E=BLOCK_E, BLOCK_D=BLOCK_D, num_warps=NUM_WARPS,
        )  # fmt: skip
    return out
