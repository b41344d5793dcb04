"""Response statistics in Triton: logits tile by tile, reduced before the next tile is formed.

    logit[r, v] = Σ_d hidden[r, d] · unembedding[v, d] + bias[v],  then softcap · tanh(logit / softcap)

Products accumulate in float32 (float32 inputs at full precision, no TF32), as do the sums within a program;
sums over programs are float64 (`triton_passes.py`). First pass: a program owns a block of rows and walks over
strips of the vocabulary with a running softmax. Second pass: a program owns up to BLOCK_G whole groups of rows,
sums the rise of every token of a strip over their rows, and keeps each group's largest. The references' logits
are formed once, by the same tile, and read from a table. No atomics: deterministic. Source: ours; after
cut-cross-entropy (arXiv 2411.09009).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl

# R rows · D width · V tokens (of the part of the vocabulary at hand) · Q references · S splits of the vocabulary
# B bundles of groups, BLOCK_G groups each
BLOCK_G = 16


class Tiles(NamedTuple):
    """Sizes that a kernel is compiled for."""

    block_r: int
    block_v: int
    block_d: int
    num_warps: int
    num_stages: int


def shipped_tiles(dtype: torch.dtype, capability: int) -> Tiles:
    """The largest tiles that spill no register: float32 has no tensor-core path at full precision."""
    if dtype == torch.float32:
        if capability < 100:
            return Tiles(block_r=32, block_v=64, block_d=16, num_warps=4, num_stages=2)
        return Tiles(block_r=64, block_v=32, block_d=32, num_warps=4, num_stages=2)
    return Tiles(block_r=128 if capability < 100 else 64, block_v=64, block_d=64, num_warps=8, num_stages=3)


@triton.jit
def capped(logit, softcap):
    # tanh without a library call. Near 0 its series, since the quotient there loses digits.
    scaled = logit / softcap
    size = tl.abs(scaled)
    faded = tl.exp(-2.0 * size)
    far = (1.0 - faded) / (1.0 + faded)
    square = scaled * scaled
    series = 0.13333333333 - square * (0.05396825397 - square * 0.02186948854)
    near = size * (1.0 - square * (0.33333333333 - square * series))
    bent = tl.where(size < 0.25, near, far)
    return softcap * tl.where(scaled < 0.0, -bent, bent)


@triton.jit
def logits_tile(
    h_ptr,  # [R, D]
    w_ptr,  # [V, D]
    b_ptr,  # [V]
    rows,  # int64 [BLOCK_R]
    is_row,  # bool [BLOCK_R]
    tokens,  # int64 [BLOCK_V]
    D,
    V,
    stride_h_r,
    stride_h_d,
    stride_w_v,
    stride_w_d,
    softcap,
    SOFTCAP: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_V: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    columns = tl.arange(0, BLOCK_D)
    h_rows = h_ptr + rows[:, None] * stride_h_r
    w_rows = w_ptr + tokens[None, :] * stride_w_v
    tile = tl.zeros((BLOCK_R, BLOCK_V), dtype=tl.float32)
    for start in range(0, D, BLOCK_D):
        offsets = (start + columns).to(tl.int64)
        h_tile = tl.load(
            h_rows + offsets[None, :] * stride_h_d,
            mask=is_row[:, None] & (offsets[None, :] < D),
            other=0.0,
        )
        w_tile = tl.load(
            w_rows + offsets[:, None] * stride_w_d,
            mask=(tokens[None, :] < V) & (offsets[:, None] < D),
            other=0.0,
        )
        tile = tl.dot(h_tile, w_tile, tile, input_precision="ieee")
    tile += tl.load(b_ptr + tokens, mask=tokens < V, other=0.0)[None, :]
    if SOFTCAP:
        tile = capped(tile, softcap)
    return tile


@triton.jit
def logits_kernel(
    h_ptr,  # [Q, D]
    w_ptr,  # [V, D]
    b_ptr,  # [V]
    table_ptr,  # float32 [Q, V]
    R,
    D,
    V,
    stride_h_r,
    stride_h_d,
    stride_w_v,
    stride_w_d,
    softcap,
    SOFTCAP: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_V: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    rows = tl.program_id(0).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    tokens = tl.program_id(1).to(tl.int64) * BLOCK_V + tl.arange(0, BLOCK_V)
    logits = logits_tile(
        h_ptr, w_ptr, b_ptr, rows, rows < R, tokens, D, V, stride_h_r, stride_h_d, stride_w_v, stride_w_d,
        softcap, SOFTCAP, BLOCK_R, BLOCK_V, BLOCK_D,
    )  # fmt: skip
    inside = (rows[:, None] < R) & (tokens[None, :] < V)
    tl.store(table_ptr + rows[:, None] * V + tokens[None, :], logits, mask=inside)


@triton.jit
def row_sums_kernel(
    h_ptr,  # [R, D]
    w_ptr,  # [V, D]
    b_ptr,  # [V]
    reference_ptr,  # int64 [R]
    table_ptr,  # float32 [Q, V]: logits of the references
    maximum_ptr,  # float32 [R, S], and so the next four
    token_ptr,  # int32
    total_ptr,
    spread_ptr,
    cross_ptr,
    R,
    D,
    V,
    S,
    strips_per_split,
    stride_h_r,
    stride_h_d,
    stride_w_v,
    stride_w_d,
    softcap,
    lowest,
    SOFTCAP: tl.constexpr,
    COMPARED: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_V: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    rows = tl.program_id(0).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    split = tl.program_id(1).to(tl.int64)
    maximum = tl.zeros((BLOCK_R,), dtype=tl.float32) + lowest
    token = tl.zeros((BLOCK_R,), dtype=tl.int32)
    total = tl.zeros((BLOCK_R,), dtype=tl.float32)
    spread = tl.zeros((BLOCK_R,), dtype=tl.float32)
    cross = tl.zeros((BLOCK_R,), dtype=tl.float32)
    for strip in range(strips_per_split):
        tokens = (split * strips_per_split + strip) * BLOCK_V + tl.arange(0, BLOCK_V)
        is_token = tokens[None, :] < V
        logits = logits_tile(
            h_ptr, w_ptr, b_ptr, rows, rows < R, tokens, D, V, stride_h_r, stride_h_d, stride_w_v, stride_w_d,
            softcap, SOFTCAP, BLOCK_R, BLOCK_V, BLOCK_D,
        )  # fmt: skip
        logits = tl.where(is_token, logits, lowest)
        highest = tl.max(logits, axis=1)
        reached = tl.where(logits == highest[:, None], tokens[None, :].to(tl.int32), 2147483647)
        # Strips come in the order of tokens: only a larger logit moves the token.
        token = tl.where(highest > maximum, tl.min(reached, axis=1), token)
        above = tl.maximum(maximum, highest)
        rise = above - maximum
        fade = tl.exp(-rise)
        below = logits - above[:, None]
        weight = tl.where(is_token, tl.exp(below), 0.0)
        spread = fade * (spread + total * rise) - tl.sum(weight * below, axis=1)
        total = fade * total + tl.sum(weight, axis=1)
        if COMPARED:
            # Read once a strip, not once a kernel: the numbers would hold registers all the while.
            reference = tl.load(reference_ptr + rows, mask=rows < R, other=0)
            compared = tl.load(
                table_ptr + reference[:, None] * V + tokens[None, :],
                mask=(rows[:, None] < R) & is_token,
                other=0.0,
            )
            # Both sides minus the maximum: the logits themselves need no registers any more.
            cross = fade * cross + tl.sum(weight * (below - (compared - above[:, None])), axis=1)
        maximum = above
    address = rows * S + split
    is_row = rows < R
    tl.store(maximum_ptr + address, maximum, mask=is_row)
    tl.store(token_ptr + address, token, mask=is_row)
    tl.store(total_ptr + address, total, mask=is_row)
    tl.store(spread_ptr + address, spread, mask=is_row)
    tl.store(cross_ptr + address, cross, mask=is_row)


@triton.jit
def group_gains_kernel(
    h_ptr,  # [R, D]
    w_ptr,  # [V, D]
    b_ptr,  # [V]
    order_ptr,  # int64 [R]: rows in the order of their groups; the next four are in that order, too
    group_ptr,  # int64 [R]: number of the row's group among the groups that have rows
    reference_ptr,  # int64 [R]
    maximum_ptr,  # float32 [R]
    scale_ptr,  # float32 [R]: one over the total of exp(logit - maximum)
    table_ptr,  # float32 [Q, V]: probabilities of the references
    bounds_ptr,  # int64 [B + 1]: first row of each bundle
    size_ptr,  # float32 [B * BLOCK_G]: rows of each group, 1 past the last group
    gain_ptr,  # float32 [B, S, BLOCK_G]
    token_ptr,  # int32 [B, S, BLOCK_G]
    D,
    V,
    S,
    strips_per_split,
    stride_h_r,
    stride_h_d,
    stride_w_v,
    stride_w_d,
    softcap,
    lowest,
    SOFTCAP: tl.constexpr,
    BLOCK_G: tl.constexpr,
    BLOCK_R: tl.constexpr,
    BLOCK_V: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    bundle = tl.program_id(0).to(tl.int64)
    split = tl.program_id(1).to(tl.int64)
    groups = bundle * BLOCK_G + tl.arange(0, BLOCK_G)
    first = tl.load(bounds_ptr + bundle)
    end = tl.load(bounds_ptr + bundle + 1)
    best = tl.zeros((BLOCK_G,), dtype=tl.float32) + lowest
    token = tl.zeros((BLOCK_G,), dtype=tl.int32)
    for strip in range(strips_per_split):
        tokens = (split * strips_per_split + strip) * BLOCK_V + tl.arange(0, BLOCK_V)
        is_token = tokens[None, :] < V
        gain = tl.zeros((BLOCK_G, BLOCK_V), dtype=tl.float32)
        for start in range(0, (end - first).to(tl.int32), BLOCK_R):
            places = first + start + tl.arange(0, BLOCK_R)
            is_row = places < end
            rows = tl.load(order_ptr + places, mask=is_row, other=0)
            logits = logits_tile(
                h_ptr, w_ptr, b_ptr, rows, is_row, tokens, D, V, stride_h_r, stride_h_d, stride_w_v, stride_w_d,
                softcap, SOFTCAP, BLOCK_R, BLOCK_V, BLOCK_D,
            )  # fmt: skip
            maximum = tl.load(maximum_ptr + places, mask=is_row, other=0.0)
            scale = tl.load(scale_ptr + places, mask=is_row, other=0.0)
            reference = tl.load(reference_ptr + places, mask=is_row, other=0)
            compared = tl.load(
                table_ptr + reference[:, None] * V + tokens[None, :],
                mask=is_row[:, None] & is_token,
                other=0.0,
            )
            rise = tl.exp(logits - maximum[:, None]) * scale[:, None] - compared
            rise = tl.where(is_row[:, None] & is_token, rise, 0.0)
            group = tl.load(group_ptr + places, mask=is_row, other=-1)
            member = tl.where(group[None, :] == groups[:, None], 1.0, 0.0)
            gain = tl.dot(member, rise, gain, input_precision="ieee")
        size = tl.load(size_ptr + groups)
        gain = tl.where(is_token, gain / size[:, None], lowest)
        highest = tl.max(gain, axis=1)
        reached = tl.where(gain == highest[:, None], tokens[None, :].to(tl.int32), 2147483647)
        token = tl.where(highest > best, tl.min(reached, axis=1), token)
        best = tl.maximum(best, highest)
    address = (bundle * S + split) * BLOCK_G + tl.arange(0, BLOCK_G)
    tl.store(gain_ptr + address, best)
    tl.store(token_ptr + address, token)
