"""Screened encoding in Triton: an int8 product and its bound in one kernel, exact dot products in another.

    estimate[n, f] = s_x[n] s_w[f] (q_x[n] · q_w[f]) + x_o[n] · w_o[f] + b[f]
                     int8 products, exact in int32; outlying columns in float32
    bound[n, f]    = 6 sqrt((|e_x[n]|² |w[f]|² + |x̂[n]|² |e_w[f]|²) / d)
    kept:          estimate + bound > floor[f], or >= level[n] for TopK (AbsTopK: of the estimate's size)

A program owns a block of tokens and walks over strips of features; what is kept is appended to that token's
slots at a position from a prefix sum: no atomics, deterministic; an overflow is seen and the chunk done
again. TopK gets its level from estimates minus bounds: k disjoint sets of features among a sample of the
strips reach the k-th largest of their maxima. Of what is kept, the k best estimates of a token are rescored
first; the least of them is a sharper level for the rest. Rescoring gathers encoder rows and accumulates in
float32. Source: ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import triton
import triton.language as tl

from ..sae_encode.ranking import best_entries
from ..sae_encode.sparse_codes import SparseCodes
from ..sae_encode.triton_kernel import (
    FEWEST_PROGRAMS,
    SAMPLE_SHARE,
    SET_SIZE,
    SLOT_BYTES,
    Tiles,
    capability_of,
)
from .screen import SIGMAS, SPLIT

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float32, Int32, Int64
    from torch import Tensor

    from .screen import Activations, Screen

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


class Candidates(NamedTuple):
    """Entries that may be kept, in token order."""

    tokens: Int64[Tensor, " E"]
    features: Int64[Tensor, " E"]
    estimates: Float32[Tensor, " E"]

    def where(self, kept: Bool[Tensor, " E"]) -> Candidates:
        return Candidates(self.tokens[kept], self.features[kept], self.estimates[kept])


class Sides(NamedTuple):
    """The encoder's side of every product."""

    screen: Screen
    constants: Float32[Tensor, "F 4"]
    apart: Float32[Tensor, "F o"]


def _padded(apart: Float32[Tensor, "n o"]) -> Float32[Tensor, "n p"]:
    """Outlying columns with as many zero columns as a product of tiles needs; none stay none."""
    count = apart.shape[1]
    return torch.nn.functional.pad(apart, (0, -count % SPLIT)).contiguous() if count else apart


def encode(x: Float[Tensor, "N d"], screen: Screen) -> tuple[SparseCodes, int, float]:
    """Codes, the number of candidates, and the largest error among them in standard deviations."""
    encoder = screen.encoder
    k = encoder.k
    outlying = screen.outlying(x)
    sides = Sides(
        screen=screen,
        constants=torch.stack([screen.weights.scale, screen.norm, screen.weights.error, screen.bias], dim=1),
        apart=_padded(screen.apart(outlying)),
    )
    slot_count = max(64, 16 * k) if k is not None else 512
    counts, features, values = [], [], []
    candidates, deviation, start = 0, 0.0, 0
    while start < len(x):
        rows = max(1, SLOT_BYTES // (8 * min(slot_count, encoder.feature_count)))
        chunk = encoder.prepared(x[start : start + rows])
        quantised = screen.quantise(x[start : start + rows], outlying)
        level = encoder.firing_floor if k is None else _level(quantised, sides, k)
        found, widest, splits = _screened(quantised, sides, level, slot_count)
        if found is None:
            slot_count = triton.next_power_of_2(widest) * splits
            continue
        found, exact = _rescored(chunk, found, quantised, screen)
        sigma = screen.sigma_of(quantised, found.tokens, found.features)
        off = (exact - found.estimates).abs() / sigma.clamp(min=torch.finfo(torch.float32).tiny)
        deviation = max(deviation, float(off.max()) if len(off) else 0.0)
        candidates += len(exact)
        if k is None:
            keep = exact > encoder.firing_floor[found.features]
            counts.append(torch.bincount(found.tokens[keep], minlength=len(chunk)))
            features.append(found.features[keep])
            values.append(exact[keep])
        else:
            best_features, best_values = _best(found, exact, len(chunk), k, encoder.activation == "abstopk")
            counts.append(torch.full((len(chunk),), k, device=x.device))
            features.append(best_features.flatten())
            values.append(best_values.flatten())
        start += rows
    row_offsets = torch.zeros(len(x) + 1, dtype=torch.int64, device=x.device)
    if counts:
        row_offsets[1:] = torch.cat(counts).cumsum(dim=0)
    codes = SparseCodes(
        row_offsets=row_offsets,
        indices=torch.cat(features) if features else row_offsets[:0],
        values=torch.cat(values) if values else torch.zeros(0, device=x.device),
        feature_count=encoder.feature_count,
    )
    return codes, candidates, deviation


def _token_constants(x: Activations) -> Float32[Tensor, "n 3"]:
    return torch.stack([x.scale, x.error, x.norm], dim=1).contiguous()


def _level(x: Activations, sides: Sides, k: int) -> Float32[Tensor, " n"]:
    """A level that the sizes of at least k features of each token reach, or minus infinity."""
    tiles = shipped_tiles(capability_of(x.integers.device), split=sides.apart.shape[1] > 0)
    screen, width = sides.screen, x.integers.shape[1]
    count = screen.encoder.feature_count
    wanted = max(count // SAMPLE_SHARE, 2 * k * SET_SIZE)
    strips = triton.cdiv(min(wanted, count), tiles.block_f)
    sets = strips * (tiles.block_f // SET_SIZE)
    rows = len(x.scale)
    if sets < k:
        return torch.full((rows,), -torch.inf, device=x.scale.device)
    maxima = torch.empty(rows, sets, dtype=torch.float32, device=x.scale.device)
    screened_maxima_kernel[(triton.cdiv(rows, tiles.block_n), strips)](
        x.integers, screen.weights.integers, _token_constants(x), sides.constants, _padded(x.apart), sides.apart, maxima,
        rows, width, count, sets, SIGMAS / width**0.5,
        ABSOLUTE=screen.encoder.activation == "abstopk", OUTLYING=sides.apart.shape[1],
        BLOCK_N=tiles.block_n, BLOCK_F=tiles.block_f, BLOCK_D=tiles.block_d, SET_SIZE=SET_SIZE,
        num_warps=tiles.num_warps, num_stages=tiles.num_stages,
    )  # fmt: skip
    return torch.topk(maxima, k, dim=1).values[:, -1].contiguous()


def _screened(
    x: Activations, sides: Sides, level: Tensor, slot_count: int
) -> tuple[Candidates | None, int, int]:
    """The candidates, or None if they overflow; the fullest split of a token, and the number of splits."""
    tiles = shipped_tiles(capability_of(x.integers.device), split=sides.apart.shape[1] > 0)
    screen, width, rows = sides.screen, x.integers.shape[1], len(x.scale)
    count = screen.encoder.feature_count
    strips, blocks = triton.cdiv(count, tiles.block_f), triton.cdiv(rows, tiles.block_n)
    splits = min(strips, triton.cdiv(FEWEST_PROGRAMS, blocks))
    strips_per_split = triton.cdiv(strips, splits)
    splits = triton.cdiv(strips, strips_per_split)
    slots = min(triton.cdiv(slot_count, splits), strips_per_split * tiles.block_f)
    device = x.integers.device
    estimates = torch.empty(rows, splits, slots, dtype=torch.float32, device=device)
    features = torch.empty(rows, splits, slots, dtype=torch.int32, device=device)
    found = torch.empty(rows, splits, dtype=torch.int32, device=device)
    screen_kernel[(blocks, splits)](
        x.integers, screen.weights.integers, _token_constants(x), sides.constants, _padded(x.apart), sides.apart,
        level, estimates, features, found,
        rows, width, count, splits, slots, strips_per_split, SIGMAS / width**0.5,
        TOPK=screen.encoder.k is not None, ABSOLUTE=screen.encoder.activation == "abstopk",
        OUTLYING=sides.apart.shape[1],
        BLOCK_N=tiles.block_n, BLOCK_F=tiles.block_f, BLOCK_D=tiles.block_d,
        num_warps=tiles.num_warps, num_stages=tiles.num_stages,
    )  # fmt: skip
    widest = int(found.max())
    if widest > slots:
        return None, widest, splits
    filled = torch.arange(slots, device=device) < found[:, :, None]
    tokens = torch.arange(rows, device=device).repeat_interleave(found.sum(dim=1))
    return Candidates(tokens, features[filled].long(), estimates[filled]), widest, splits


def _rescored(
    x: Float[Tensor, "n d"], found: Candidates, quantised: Activations, screen: Screen
) -> tuple[Candidates, Float32[Tensor, " E"]]:
    """The candidates that are worth it, and their exact values, in token order."""
    k, signed = screen.encoder.k, screen.encoder.activation == "abstopk"
    if k is None:
        return found, _exact(x, found, screen)
    sizes = found.estimates.abs() if signed else found.estimates
    numbered = Candidates(found.tokens, torch.arange(len(sizes), device=x.device), sizes)
    best, _ = _best(numbered, sizes, len(x), k, signed=True)
    first = torch.zeros(len(sizes), dtype=torch.bool, device=x.device)
    first[best.flatten()] = True
    sure = found.where(first)
    values = _exact(x, sure, screen)
    level = (values.abs() if signed else values).view(len(x), k).amin(dim=1)
    bound = SIGMAS * screen.sigma_of(quantised, found.tokens, found.features)
    rest = ~first & (sizes + bound >= level[found.tokens])
    more = found.where(rest)
    everything = torch.empty(len(sizes), dtype=torch.float32, device=x.device)
    everything[first] = values
    everything[rest] = _exact(x, more, screen)
    worth = first | rest
    return found.where(worth), everything[worth]


def _exact(x: Float[Tensor, "n d"], found: Candidates, screen: Screen) -> Float32[Tensor, " E"]:
    encoder = screen.encoder
    values = torch.empty(len(found.tokens), dtype=torch.float32, device=x.device)
    if len(values):
        weights = encoder.w_enc
        if x.device.type == "cpu" and x.dtype == torch.bfloat16:  # the interpreter knows no bfloat16
            x, weights = x.float(), weights.float()
        scale = encoder.b_enc if encoder.feature_scale is None else encoder.feature_scale
        rescore_kernel[(triton.cdiv(len(values), RESCORED),)](
            x, weights, encoder.b_enc, scale, found.tokens, found.features, values,
            x.shape[1], len(values), x.stride(0), x.stride(1), weights.stride(0), weights.stride(1),
            SCALED=encoder.feature_scale is not None, BLOCK_E=RESCORED, BLOCK_D=RESCORE_WIDTH, num_warps=4,
        )  # fmt: skip
    return values


def _best(
    found: Candidates, values: Float32[Tensor, " E"], rows: int, k: int, signed: bool
) -> tuple[Int64[Tensor, "n k"], Float32[Tensor, "n k"]]:
    """The k best entries a token: what stands in `features`, and their values."""
    counts = torch.bincount(found.tokens, minlength=rows)
    widest = int(counts.max()) if rows else 0
    place = torch.arange(len(values), device=values.device) - (counts.cumsum(0) - counts)[found.tokens]
    matrix = torch.zeros(rows, 1, widest, dtype=torch.float32, device=values.device)
    names: Int32[Tensor, "n 1 C"] = torch.zeros(rows, 1, widest, dtype=torch.int32, device=values.device)
    matrix[found.tokens, 0, place] = values
    names[found.tokens, 0, place] = found.features.int()
    filled = torch.arange(widest, device=values.device) < counts[:, None, None]
    return best_entries(matrix, names, filled, k, signed=signed)
