"""Feature statistics on a CPU, fused with the blocked encoder: only firing entries are ever counted.

    per (group, feature):  count, sum, sum of squares, maximum and its lowest token, of codes > 0

Codes are float32 as the encoder leaves them; every sum is float64, in token order, so the result does
not depend on the block size beyond the codes themselves. Deterministic for a given number of threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ..sae_encode import cpu as encoder_cpu
from ..sae_encode.threads import side_by_side
from .histogram import BINS, bin_of
from .statistics import NO_TOKEN, FeatureStats

if TYPE_CHECKING:
    from jaxtyping import Float, Int64
    from numpy.typing import NDArray
    from torch import Tensor

    from ..sae_encode.arguments import Encoder
    from ..sae_encode.sparse_codes import SparseCodes

# Entries gathered before they are counted: enough to pay for one pass over the statistics.
FLUSH_SIZE = 2**18


def stats_of_tokens(
    x: Float[Tensor, "N d"],
    encoder: Encoder,
    groups: Int64[Tensor, " N"],
    group_count: int,
    token_offset: int,
    *,
    histogram: bool = False,
) -> FeatureStats:
    """Encode and count in one go."""
    if encoder.activation == "batchtopk":
        codes = encoder_cpu.encode(x, encoder)
        return stats_of_codes(codes, groups, group_count, token_offset, histogram=histogram)
    group_of = groups.numpy()
    if encoder.k is not None:
        tally = _Tally(group_count, slice(0, encoder.feature_count), histogram=histogram)
        for tokens, found in encoder_cpu.top_blocks(x, encoder):
            rows = found.rows + tokens.start
            tally.add(rows, group_of[rows], found.features, found.values)
        tallies = [tally]
    else:
        blocks = encoder_cpu.token_blocks(len(x), encoder.feature_count)

        def count(strip: slice, buffers: encoder_cpu.Buffers) -> _Tally:
            tally = _Tally(group_count, strip, histogram=histogram)
            for tokens in blocks:
                found = encoder_cpu.firing_in(x, encoder, tokens, strip, buffers)
                rows = found.rows + tokens.start
                tally.add(rows, group_of[rows], found.features, found.values)
            tally.flush()
            return tally

        strips = encoder_cpu.feature_strips(encoder.feature_count)
        tallies = list(side_by_side(count, strips, encoder_cpu.Buffers))
    return _result(tallies, group_of, token_offset)


def stats_of_codes(
    codes: SparseCodes,
    groups: Int64[Tensor, " N"],
    group_count: int,
    token_offset: int,
    *,
    histogram: bool = False,
) -> FeatureStats:
    """Count codes that are there already."""
    tally = _Tally(group_count, slice(0, codes.feature_count), histogram=histogram)
    rows = codes.entry_tokens().numpy()
    group_of = groups.numpy()
    tally.add(rows, group_of[rows], codes.indices.numpy(), codes.values.numpy())
    return _result([tally], group_of, token_offset)


class _Tally:
    """Running statistics of one strip of features; entries must come in token order."""

    def __init__(self, group_count: int, strip: slice, *, histogram: bool) -> None:
        self.first, self.width = strip.start, strip.stop - strip.start
        self.shape = (group_count, self.width)
        size = group_count * self.width
        self.count = np.zeros(size, dtype=np.int64)
        self.total = np.zeros(size)
        self.square = np.zeros(size)
        self.maximum = np.zeros(size, dtype=np.float32)
        self.token = np.full(size, NO_TOKEN, dtype=np.int64)
        self.histogram = np.zeros(size * BINS, dtype=np.int64) if histogram else None
        self.waiting: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]] = []
        self.waiting_size = 0

    def add(
        self,
        tokens: NDArray[np.int64],
        groups: NDArray[np.int64],
        features: NDArray[np.int64],
        values: NDArray[np.float32],
    ) -> None:
        keys = groups * self.width + (features - self.first)
        self.waiting.append((tokens, keys, values))
        self.waiting_size += len(values)
        if self.waiting_size >= max(FLUSH_SIZE, len(self.count)):
            self.flush()

    def flush(self) -> None:
        if self.waiting_size == 0:
            return
        tokens, keys, values = (np.concatenate(parts) for parts in zip(*self.waiting, strict=True))
        self.waiting, self.waiting_size = [], 0
        # TopK keeps entries of value 0, which did not fire.
        if not values.all():
            firing = values != 0
            tokens, keys, values = tokens[firing], keys[firing], values[firing]
        wide = values.astype(np.float64)
        self.count += np.bincount(keys, minlength=len(self.count))
        self.total += np.bincount(keys, wide, minlength=len(self.count))
        self.square += np.bincount(keys, wide * wide, minlength=len(self.count))
        values = np.abs(values)
        if self.histogram is not None:
            bins = bin_of(torch.from_numpy(values)).numpy()
            np.add.at(self.histogram, keys * BINS + bins, 1)
        before = self.maximum.copy()
        np.maximum.at(self.maximum, keys, values)
        # Tokens come in ascending order, so an earlier maximum of the same size keeps its token.
        reached = (values == self.maximum[keys]) & (values > before[keys])
        risen = self.maximum > before
        self.token[risen] = np.iinfo(np.int64).max
        np.minimum.at(self.token, keys[reached], tokens[reached])


def _result(tallies: list[_Tally], groups: NDArray[np.int64], token_offset: int) -> FeatureStats:
    for tally in tallies:
        tally.flush()

    def joined(name: str) -> Tensor:
        return torch.from_numpy(
            np.concatenate([getattr(tally, name).reshape(tally.shape) for tally in tallies], axis=1)
        )

    token = joined("token")
    return FeatureStats(
        token_count=torch.from_numpy(np.bincount(groups, minlength=tallies[0].shape[0])),
        firing_count=joined("count"),
        value_sum=joined("total"),
        square_sum=joined("square"),
        maximum=joined("maximum"),
        maximum_token=torch.where(token == NO_TOKEN, NO_TOKEN, token + token_offset),
        histogram=None if tallies[0].histogram is None else _joined_histogram(tallies),
    )


def _joined_histogram(tallies: list[_Tally]) -> Int64[Tensor, "G F 64"]:
    parts = [np.reshape(tally.histogram, (*tally.shape, BINS)) for tally in tallies]  # type: ignore[arg-type]
    return torch.from_numpy(np.concatenate(parts, axis=1))
