"""SAE encoding in Triton: matrix product, bias, comparison and compaction in one kernel.

    pre[n, f] = (sum_d x[n, d] * w_enc[f, d] + b_enc[f]) * feature_scale[f]
    kept: pre > floor[f]; for TopK pre >= level[n], for AbsTopK |pre| >= level[n]

Products accumulate in float32 (float32 inputs at full precision, no TF32). A program owns a block of tokens
and walks over strips of features; what passes the comparison is appended to that token's slots, in feature
order, at a position from a prefix sum within the tile: no atomics, deterministic. A program counts on past
the end of its slots, so an overflow is seen. Both kernels form a pre-activation by the same sequence of
operations. `triton_passes.py` runs them. Source: ours; the pattern of a product whose logits are never
stored is cut-cross-entropy's (arXiv 2411.09009).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import triton
import triton.language as tl

if TYPE_CHECKING:
    from torch import Tensor

# N tokens · D width · F features · S splits of the features · C slots per token and split
# M feature sets in the sample, of SET_SIZE features each
SET_SIZE = 16


class Tiles(NamedTuple):
    """Sizes that a kernel is compiled for."""

    block_n: int
    block_f: int
    block_d: int
    num_warps: int
    num_stages: int


def tiles_for(x: Tensor) -> Tiles:
    """The tile sizes for activations of this dtype on this device."""
    return shipped_tiles(x.dtype, capability_of(x.device))


def capability_of(device: torch.device) -> int:
    """Compute capability of a device, 90 for 9.0; the interpreter counts as the lowest supported, 80."""
    if device.type != "cuda":
        return 80
    major, minor = torch.cuda.get_device_capability(device)
    return 10 * major + minor


def shipped_tiles(dtype: torch.dtype, capability: int) -> Tiles:
    """The largest tiles that spill no register: float32 has no tensor-core path at full precision."""
    if dtype == torch.float32:
        return Tiles(
            block_n=32, block_f=64 if capability < 100 else 32, block_d=16, num_warps=4, num_stages=2
        )
    if capability >= 90:
        return Tiles(
            block_n=128 if capability < 100 else 64, block_f=64, block_d=64, num_warps=8, num_stages=4
        )
    return Tiles(block_n=64, block_f=64, block_d=64, num_warps=8, num_stages=3)


@triton.jit
def pre_activation_tile(
    x_ptr,  # [N, D]
    w_ptr,  # [F, D]
    b_ptr,  # [F]
    s_ptr,  # [F] what pre-activations are multiplied by, read if SCALED
    tokens,  # int64 [BLOCK_N]
    features,  # int64 [BLOCK_F]
    N,
    D,
    F,
    stride_x_n,
    stride_x_d,
    stride_w_f,
    stride_w_d,
    SCALED: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_F: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    columns = tl.arange(0, BLOCK_D)
    x_rows = x_ptr + tokens[:, None] * stride_x_n
    w_rows = w_ptr + features[None, :] * stride_w_f
    tile = tl.zeros((BLOCK_N, BLOCK_F), dtype=tl.float32)
    for start in range(0, D, BLOCK_D):
        offsets = (start + columns).to(tl.int64)
        x_tile = tl.load(
            x_rows + offsets[None, :] * stride_x_d,
            mask=(tokens[:, None] < N) & (offsets[None, :] < D),
            other=0.0,
        )
        w_tile = tl.load(
            w_rows + offsets[:, None] * stride_w_d,
            mask=(features[None, :] < F) & (offsets[:, None] < D),
            other=0.0,
        )
        tile = tl.dot(x_tile, w_tile, tile, input_precision="ieee")
    bias = tl.load(b_ptr + features, mask=features < F, other=0.0)
    tile += bias[None, :]
    if SCALED:
        scale = tl.load(s_ptr + features, mask=features < F, other=0.0)
        tile *= scale[None, :]
    return tile


@triton.jit
def set_maxima_kernel(
    x_ptr,  # [N, D]
    w_ptr,  # [F, D]
    b_ptr,  # [F]
    s_ptr,  # [F]
    maxima_ptr,  # [N, M]
    N,
    D,
    F,
    M,
    stride_x_n,
    stride_x_d,
    stride_w_f,
    stride_w_d,
    ABSOLUTE: tl.constexpr,
    SCALED: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_F: tl.constexpr,
    BLOCK_D: tl.constexpr,
    SET_SIZE: tl.constexpr,
):
    SETS: tl.constexpr = BLOCK_F // SET_SIZE
    tokens = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    strip = tl.program_id(1).to(tl.int64)
    features = strip * BLOCK_F + tl.arange(0, BLOCK_F)
    pre = pre_activation_tile(
        x_ptr, w_ptr, b_ptr, s_ptr, tokens, features, N, D, F, stride_x_n, stride_x_d, stride_w_f, stride_w_d,
        SCALED, BLOCK_N, BLOCK_F, BLOCK_D,
    )  # fmt: skip
    if ABSOLUTE:
        pre = tl.abs(pre)
    pre = tl.where(features[None, :] < F, pre, float("-inf"))
    maxima = tl.max(tl.reshape(pre, (BLOCK_N, SETS, SET_SIZE)), axis=2)
    sets = strip * SETS + tl.arange(0, SETS)
    tl.store(
        maxima_ptr + tokens[:, None] * M + sets[None, :],
        maxima,
        mask=(tokens[:, None] < N) & (sets[None, :] < M),
    )


@triton.jit
def survivors_kernel(
    x_ptr,  # [N, D]
    w_ptr,  # [F, D]
    b_ptr,  # [F]
    s_ptr,  # [F]
    level_ptr,  # [N] for TopK and AbsTopK, else [F]
    values_ptr,  # [N, S, C]
    features_ptr,  # [N, S, C]
    found_ptr,  # [N, S]
    N,
    D,
    F,
    S,
    C,
    strips_per_split,
    stride_x_n,
    stride_x_d,
    stride_w_f,
    stride_w_d,
    TOPK: tl.constexpr,
    ABSOLUTE: tl.constexpr,
    SCALED: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_F: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    lanes = tl.arange(0, BLOCK_N)
    first = tl.program_id(0).to(tl.int64) * BLOCK_N
    tokens = first + lanes
    split = tl.program_id(1).to(tl.int64)
    # Slots of this program's tokens are counted from its own start, which keeps the offsets in 32 bits.
    start = (first * S + split) * C
    slots = lanes * S * C
    found = tl.zeros((BLOCK_N,), dtype=tl.int32)
    for strip in range(strips_per_split):
        features = (split * strips_per_split + strip) * BLOCK_F + tl.arange(0, BLOCK_F)
        pre = pre_activation_tile(
            x_ptr, w_ptr, b_ptr, s_ptr, tokens, features, N, D, F, stride_x_n, stride_x_d, stride_w_f, stride_w_d,
            SCALED, BLOCK_N, BLOCK_F, BLOCK_D,
        )  # fmt: skip
        if TOPK:
            level = tl.load(level_ptr + tokens, mask=tokens < N, other=float("inf"))
            kept = (tl.abs(pre) if ABSOLUTE else pre) >= level[:, None]
        else:
            level = tl.load(level_ptr + features, mask=features < F, other=float("inf"))
            kept = pre > level[None, :]
        kept = kept & (tokens[:, None] < N) & (features[None, :] < F)
        ones = kept.to(tl.int32)
        position = found[:, None] + tl.cumsum(ones, axis=1) - 1
        offset = slots[:, None] + position
        fits = kept & (position < C)
        tl.store(values_ptr + start + offset, pre, mask=fits)
        whole = tl.broadcast_to(features.to(tl.int32)[None, :], (BLOCK_N, BLOCK_F))
        tl.store(features_ptr + start + offset, whole, mask=fits)
        found += tl.sum(ones, axis=1)
    tl.store(found_ptr + tokens * S + split, found, mask=tokens < N)
