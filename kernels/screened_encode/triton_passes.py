"""The passes of screened encoding on a GPU: level, screen, rescoring, choice.

TopK gets its level from estimates minus bounds: k disjoint sets of features among a sample of the strips
reach the k-th largest of their maxima. Of what the screen keeps, the k best estimates of a token are rescored
first; the least of them is a sharper level for the rest. An overflow of the slots is seen, and the chunk of
tokens done again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import triton

from ..sae_encode.ranking import best_entries
from ..sae_encode.sparse_codes import SparseCodes
from ..sae_encode.triton_kernel import SET_SIZE, capability_of
from ..sae_encode.triton_passes import FEWEST_PROGRAMS, SAMPLE_SHARE, SLOT_BYTES
from .screen import SIGMAS, SPLIT
from .triton_kernel import (
    RESCORE_WIDTH,
    RESCORED,
    rescore_kernel,
    screen_kernel,
    screened_maxima_kernel,
    shipped_tiles,
)

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float32, Int32, Int64
    from torch import Tensor

    from .screen import Activations, Screen


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
