"""Screened encoding in Triton: an int8 product and its bound in one kernel, exact dot products in another.

    estimate[n, f] = s_x[n] s_w[f] (q_x[n] · q_w[f]) + x_o[n] · w_o[f] + b[f]
                     int8 products, exact in int32; outlying columns in float32
    bound[n, f]    = 6 sqrt((|e_x[n]|² |w[f]|² + |x̂[n]|² |e_w[f]|²) / d)
    kept:          estimate + bound > floor[f], or >= level[n] for TopK (AbsTopK: of the estimate's size)

A program owns a block of tokens and walks over strips of features; what is kept is appended to that token's
slots at a position from a prefix sum: no atomics, deterministic. Rescoring gathers encoder rows and
accumulates in float32. `triton_passes.py` runs them. Source: ours.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ..sae_encode.triton_kernel import Tiles

# N tokens · D width · F features · S splits of the features · C slots per token and split
# M feature sets in the sample, of SET_SIZE features each · E entries to rescore

RESCORED = 32  # entries a program
RESCORE_WIDTH = 128  # columns of a row at a time


def shipped_tiles(capability: int, *, split: bool) -> Tiles:
    """The shipped tile sizes of the int8 product, with or without outlying columns: they spill no register."""
    wide = 90 <= capability < 100 and not split
    return Tiles(block_n=128 if wide else 64, block_f=64, block_d=128, num_warps=8, num_stages=3)


@triton.jit
def estimate_tile(
    x_ptr,  # int8 [N, D]
    w_ptr,  # int8 [F, D]
    token_ptr,  # float32 [N, 3]: scale, norm of the error, norm
    feature_ptr,  # float32 [F, 4]: scale, norm, norm of the error, bias
    x_apart_ptr,  # float32 [N, OUTLYING]: outlying columns, read if OUTLYING
    w_apart_ptr,  # float32 [F, OUTLYING]
    tokens,  # int64 [BLOCK_N]
    features,  # int64 [BLOCK_F]
    N,
    D,
    F,
    sigmas,  # float32: standard deviations, divided by sqrt(D)
    OUTLYING: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_F: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    columns = tl.arange(0, BLOCK_D)
    tile = tl.zeros((BLOCK_N, BLOCK_F), dtype=tl.int32)
    for start in range(0, D, BLOCK_D):
        offsets = start + columns
        x_tile = tl.load(
            x_ptr + tokens[:, None] * D + offsets[None, :],
            mask=(tokens[:, None] < N) & (offsets[None, :] < D),
            other=0,
        )
        w_tile = tl.load(
            w_ptr + features[None, :] * D + offsets[:, None],
            mask=(features[None, :] < F) & (offsets[:, None] < D),
            other=0,
        )
        tile = tl.dot(x_tile, w_tile, tile, out_dtype=tl.int32)
    there, inside = tokens < N, features < F
    x_scale = tl.load(token_ptr + tokens * 3, mask=there, other=0.0)
    x_error = tl.load(token_ptr + tokens * 3 + 1, mask=there, other=0.0) * sigmas
    x_norm = tl.load(token_ptr + tokens * 3 + 2, mask=there, other=0.0) * sigmas
    w_scale = tl.load(feature_ptr + features * 4, mask=inside, other=0.0)
    w_norm = tl.load(feature_ptr + features * 4 + 1, mask=inside, other=0.0)
    w_error = tl.load(feature_ptr + features * 4 + 2, mask=inside, other=0.0)
    bias = tl.load(feature_ptr + features * 4 + 3, mask=inside, other=0.0)
    estimate = tile.to(tl.float32) * x_scale[:, None] * w_scale[None, :] + bias[None, :]
    if OUTLYING:
        apart = tl.arange(0, OUTLYING)
        x_apart = tl.load(
            x_apart_ptr + tokens[:, None] * OUTLYING + apart[None, :], mask=there[:, None], other=0.0
        )
        w_apart = tl.load(
            w_apart_ptr + features[None, :] * OUTLYING + apart[:, None], mask=inside[None, :], other=0.0
        )
        estimate = tl.dot(x_apart, w_apart, estimate, input_precision="ieee")
    own = x_error[:, None] * w_norm[None, :]
    lost = x_norm[:, None] * w_error[None, :]
    return estimate, tl.sqrt(own * own + lost * lost)


@triton.jit
def screened_maxima_kernel(
    x_ptr,  # int8 [N, D]
    w_ptr,  # int8 [F, D]
    token_ptr,  # float32 [N, 3]
    feature_ptr,  # float32 [F, 4]
    x_apart_ptr,  # float32 [N, OUTLYING]
    w_apart_ptr,  # float32 [F, OUTLYING]
    maxima_ptr,  # float32 [N, M]
    N,
    D,
    F,
    M,
    sigmas,
    ABSOLUTE: tl.constexpr,
    OUTLYING: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_F: tl.constexpr,
    BLOCK_D: tl.constexpr,
    SET_SIZE: tl.constexpr,
):
    SETS: tl.constexpr = BLOCK_F // SET_SIZE
    tokens = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    strip = tl.program_id(1).to(tl.int64)
    features = strip * BLOCK_F + tl.arange(0, BLOCK_F)
    estimate, bound = estimate_tile(
        x_ptr, w_ptr, token_ptr, feature_ptr, x_apart_ptr, w_apart_ptr, tokens, features, N, D, F, sigmas,
        OUTLYING, BLOCK_N, BLOCK_F, BLOCK_D,
    )  # fmt: skip
    if ABSOLUTE:
        estimate = tl.abs(estimate)
    least = tl.where(features[None, :] < F, estimate - bound, float("-inf"))
    maxima = tl.max(tl.reshape(least, (BLOCK_N, SETS, SET_SIZE)), axis=2)
    sets = strip * SETS + tl.arange(0, SETS)
    tl.store(
        maxima_ptr + tokens[:, None] * M + sets[None, :],
        maxima,
        mask=(tokens[:, None] < N) & (sets[None, :] < M),
    )


@triton.jit
def screen_kernel(
    x_ptr,  # int8 [N, D]
    w_ptr,  # int8 [F, D]
    token_ptr,  # float32 [N, 3]
    feature_ptr,  # float32 [F, 4]
    x_apart_ptr,  # float32 [N, OUTLYING]
    w_apart_ptr,  # float32 [F, OUTLYING]
    level_ptr,  # float32 [N] for TopK and AbsTopK, else [F]
    estimates_ptr,  # float32 [N, S, C]
    features_ptr,  # int32 [N, S, C]
    found_ptr,  # int32 [N, S]
    N,
    D,
    F,
    S,
    C,
    strips_per_split,
    sigmas,
    TOPK: tl.constexpr,
    ABSOLUTE: tl.constexpr,
    OUTLYING: tl.constexpr,
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
        estimate, bound = estimate_tile(
            x_ptr, w_ptr, token_ptr, feature_ptr, x_apart_ptr, w_apart_ptr, tokens, features, N, D, F, sigmas,
            OUTLYING, BLOCK_N, BLOCK_F, BLOCK_D,
        )  # fmt: skip
        if TOPK:
            level = tl.load(level_ptr + tokens, mask=tokens < N, other=float("inf"))
            kept = (tl.abs(estimate) if ABSOLUTE else estimate) + bound >= level[:, None]
        else:
            level = tl.load(level_ptr + features, mask=features < F, other=float("inf"))
            kept = estimate + bound > level[None, :]
        kept = kept & (tokens[:, None] < N) & (features[None, :] < F)
        ones = kept.to(tl.int32)
        position = found[:, None] + tl.cumsum(ones, axis=1) - 1
        offset = slots[:, None] + position
        fits = kept & (position < C)
        tl.store(estimates_ptr + start + offset, estimate, mask=fits)
        whole = tl.broadcast_to(features.to(tl.int32)[None, :], (BLOCK_N, BLOCK_F))
        tl.store(features_ptr + start + offset, whole, mask=fits)
        found += tl.sum(ones, axis=1)
    tl.store(found_ptr + tokens * S + split, found, mask=tokens < N)


@triton.jit
def rescore_kernel(
    x_ptr,  # [N, D]
    w_ptr,  # [F, D]
    b_ptr,  # float32 [F]
    s_ptr,  # float32 [F]: what pre-activations are multiplied by, read if SCALED
    tokens_ptr,  # int64 [E]
    features_ptr,  # int64 [E]
    values_ptr,  # float32 [E]
    D,
    E,
    stride_x_n,
    stride_x_d,
    stride_w_f,
    stride_w_d,
    SCALED: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    entries = tl.program_id(0).to(tl.int64) * BLOCK_E + tl.arange(0, BLOCK_E)
    there = entries < E
    tokens = tl.load(tokens_ptr + entries, mask=there, other=0)
    features = tl.load(features_ptr + entries, mask=there, other=0)
    columns = tl.arange(0, BLOCK_D)
    total = tl.zeros((BLOCK_E,), dtype=tl.float32)
    for start in range(0, D, BLOCK_D):
        offsets = (start + columns).to(tl.int64)
        mask = there[:, None] & (offsets[None, :] < D)
        x_rows = tl.load(
            x_ptr + tokens[:, None] * stride_x_n + offsets[None, :] * stride_x_d, mask=mask, other=0.0
        )
        w_rows = tl.load(
            w_ptr + features[:, None] * stride_w_f + offsets[None, :] * stride_w_d, mask=mask, other=0.0
        )
        total += tl.sum(x_rows.to(tl.float32) * w_rows.to(tl.float32), axis=1)
    total += tl.load(b_ptr + features, mask=there, other=0.0)
    if SCALED:
        total *= tl.load(s_ptr + features, mask=there, other=0.0)
    tl.store(values_ptr + entries, total, mask=there)
