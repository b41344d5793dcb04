"""The passes of SAE encoding on a GPU: level, survivors, choice.

TopK gets its level first: k disjoint sets of features among a sample of the strips have maxima at or above
the k-th largest such maximum, so the k best of all features do too. BatchTopK does the same with all tokens
of a chunk together, and takes the lowest level of all chunks as the floor of every feature. Where the slots
of a chunk of tokens overflow, it is done again with the size that it asked for.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch
import triton

from .ranking import best_entries, best_of_batch
from .sparse_codes import SparseCodes
from .triton_kernel import SET_SIZE, set_maxima_kernel, survivors_kernel, tiles_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jaxtyping import Float, Float32, Int32
    from torch import Tensor

    from .arguments import Encoder

SAMPLE_SHARE = 8  # one in so many features gives the TopK level
SLOT_BYTES = 2**28  # most memory for the slots of a chunk of tokens
FEWEST_PROGRAMS = 128  # about one a multiprocessor of the large GPUs
LEVEL_TOKENS = 2**14  # tokens whose set maxima are held at a time for BatchTopK


class Slots(NamedTuple):
    """What the kernel kept of a chunk of tokens; `found` says how many slots of each row are filled."""

    values: Float32[Tensor, "n S C"]
    features: Int32[Tensor, "n S C"]
    found: Int32[Tensor, "n S"]

    def filled(self) -> Tensor:
        return torch.arange(self.values.shape[2], device=self.found.device) < self.found[:, :, None]


def encode(x: Float[Tensor, "N d"], encoder: Encoder) -> SparseCodes:
    """Codes of every token, without the [N, F] matrix."""
    if encoder.activation == "batchtopk":
        return _encode_batch(x, encoder)
    counts, features, values = [], [], []
    for slots in survivors(x, encoder):
        if encoder.k is not None:
            found_features, found_values = best_entries(
                slots.values,
                slots.features,
                slots.filled(),
                encoder.k,
                signed=encoder.activation == "abstopk",
            )
            counts.append(torch.full((len(slots.found),), encoder.k, device=x.device))
        else:
            filled = slots.filled()
            found_features, found_values = slots.features[filled], slots.values[filled]
            counts.append(slots.found.sum(dim=1))
        features.append(found_features.flatten().long())
        values.append(found_values.flatten())
    row_offsets = torch.zeros(len(x) + 1, dtype=torch.int64, device=x.device)
    if counts:
        row_offsets[1:] = torch.cat(counts).cumsum(dim=0)
    return SparseCodes(
        row_offsets=row_offsets,
        indices=torch.cat(features) if features else row_offsets[:0],
        values=torch.cat(values) if values else torch.zeros(0, device=x.device),
        feature_count=encoder.feature_count,
    )


def _encode_batch(x: Float[Tensor, "N d"], encoder: Encoder) -> SparseCodes:
    """BatchTopK: every feature above a level that N·k entries reach, then the N·k best of them."""
    k = encoder.k or 1
    level = 0.0
    if len(x):
        levels = []
        for start in range(0, len(x), LEVEL_TOKENS):
            chunk, operands = prepared(x[start : start + LEVEL_TOKENS], encoder)
            maxima = _set_maxima(chunk, operands, k)
            if maxima is None:
                break
            count = len(chunk) * k
            levels.append(float(maxima.flatten().kthvalue(maxima.numel() - count + 1).values))
        else:
            # The kernels keep what is above the floor; the level itself has to pass.
            level = max(0.0, math.nextafter(min(levels), -math.inf))
    floor = torch.full((encoder.feature_count,), level, device=x.device)
    # float32 may round the level up; the next number below is safe.
    floor = torch.where(floor > 0, torch.nextafter(floor, torch.zeros_like(floor)), floor)
    codes = encode(x, replace(encoder, activation="relu", k=None, floor=floor))
    return best_of_batch(
        codes.entry_tokens(),
        codes.indices,
        codes.values,
        token_count=len(x),
        feature_count=encoder.feature_count,
        most=len(x) * k,
    )


def survivors(x: Float[Tensor, "N d"], encoder: Encoder) -> Iterator[Slots]:
    """Chunks of tokens in order, each with every entry that passed the comparison."""
    slot_count = max(64, 16 * encoder.k) if encoder.k is not None else 256
    start, sampled = 0, True
    while start < len(x):
        rows = max(1, SLOT_BYTES // (8 * min(slot_count, encoder.feature_count)))
        chunk, operands = prepared(x[start : start + rows], encoder)
        level = encoder.firing_floor if encoder.k is None else _level(chunk, operands, encoder.k, sampled)
        slots = _launch_survivors(chunk, operands, level, slot_count)
        if encoder.k is not None and int(slots.found.sum(dim=1).min()) < encoder.k:
            # Cannot happen while both kernels round alike; if they ever do not, keep everything once.
            sampled = False
            continue
        widest = int(slots.found.max())
        if widest > slots.values.shape[2]:
            # More slots than before for this chunk and the later ones; fewer tokens at a time pay for it.
            # Ends: a split never has more slots than features, and then nothing can overflow.
            slot_count = triton.next_power_of_2(widest) * slots.found.shape[1]
            continue
        start, sampled = start + rows, True
        yield slots


def prepared(x: Float[Tensor, "n d"], encoder: Encoder) -> tuple[Float[Tensor, "n d"], Encoder]:
    """Activations as they are multiplied, and the encoder to run them through.

    Triton's interpreter multiplies the bits of bfloat16 as integers, so there (tensors on the CPU) both are
    widened; products of bfloat16 are exact in float32, and the codes are the same.
    """
    activations, weights = encoder.prepared(x), encoder.w_enc
    if x.device.type == "cpu" and x.dtype == torch.bfloat16:
        activations, weights = activations.float(), weights.float()
    return activations, replace(encoder, w_enc=weights, centre=None, normalisation="none")


def _level(x: Float[Tensor, "n d"], encoder: Encoder, k: int, sampled: bool) -> Float32[Tensor, " n"]:
    """A level that at least k features of each token reach, or minus infinity."""
    maxima = _set_maxima(x, encoder, k) if sampled else None
    if maxima is None:
        return torch.full((len(x),), -torch.inf, device=x.device)
    return torch.topk(maxima, k, dim=1).values[:, -1].contiguous()


def _set_maxima(x: Float[Tensor, "n d"], encoder: Encoder, k: int) -> Float32[Tensor, "n M"] | None:
    """Maxima over disjoint sets among a sample of the features, None where there are fewer than k of them."""
    tiles = tiles_for(x)
    wanted = max(encoder.feature_count // SAMPLE_SHARE, 2 * k * SET_SIZE)
    strips = triton.cdiv(min(wanted, encoder.feature_count), tiles.block_f)
    sets = strips * (tiles.block_f // SET_SIZE)
    # Sets past the last feature hold minus infinity, so they never count among the k.
    if sets < k:
        return None
    maxima = torch.empty(len(x), sets, dtype=torch.float32, device=x.device)
    set_maxima_kernel[(triton.cdiv(len(x), tiles.block_n), strips)](
        x, encoder.w_enc, encoder.b_enc, scale_of(encoder), maxima,
        len(x), x.shape[1], encoder.feature_count, sets,
        x.stride(0), x.stride(1), encoder.w_enc.stride(0), encoder.w_enc.stride(1),
        ABSOLUTE=encoder.activation == "abstopk", SCALED=encoder.feature_scale is not None,
        BLOCK_N=tiles.block_n, BLOCK_F=tiles.block_f, BLOCK_D=tiles.block_d, SET_SIZE=SET_SIZE,
        num_warps=tiles.num_warps, num_stages=tiles.num_stages,
    )  # fmt: skip
    return maxima


def scale_of(encoder: Encoder) -> Float32[Tensor, " F"]:
    """What pre-activations are multiplied by; any vector where they are not."""
    return encoder.b_enc if encoder.feature_scale is None else encoder.feature_scale


def _launch_survivors(x: Float[Tensor, "n d"], encoder: Encoder, level: Tensor, slot_count: int) -> Slots:
    tiles = tiles_for(x)
    strips = triton.cdiv(encoder.feature_count, tiles.block_f)
    blocks = triton.cdiv(len(x), tiles.block_n)
    splits = min(strips, triton.cdiv(FEWEST_PROGRAMS, blocks))
    strips_per_split = triton.cdiv(strips, splits)
    splits = triton.cdiv(strips, strips_per_split)
    slots = min(triton.cdiv(slot_count, splits), strips_per_split * tiles.block_f)
    values = torch.empty(len(x), splits, slots, dtype=torch.float32, device=x.device)
    features = torch.empty(len(x), splits, slots, dtype=torch.int32, device=x.device)
    found = torch.empty(len(x), splits, dtype=torch.int32, device=x.device)
    survivors_kernel[(blocks, splits)](
        x, encoder.w_enc, encoder.b_enc, scale_of(encoder), level, values, features, found,
        len(x), x.shape[1], encoder.feature_count, splits, slots, strips_per_split,
        x.stride(0), x.stride(1), encoder.w_enc.stride(0), encoder.w_enc.stride(1),
        TOPK=encoder.k is not None, ABSOLUTE=encoder.activation == "abstopk",
        SCALED=encoder.feature_scale is not None,
        BLOCK_N=tiles.block_n, BLOCK_F=tiles.block_f, BLOCK_D=tiles.block_d,
        num_warps=tiles.num_warps, num_stages=tiles.num_stages,
    )  # fmt: skip
    return Slots(values, features, found)
