"""The sparse products on a CPU: torch's embedding bag, once over tokens and once over features.

A bag is the weighted sum of some rows of a table, in order, in float32; every bag is one thread's work, so the
result does not depend on their number. Half-precision rows are widened exactly, only those that are used.
Measured at N = 512, d = 192, F = 1024, k = 16 on one core: combine 0.10 ms and collect 0.17 ms, where the
dense product takes 3.9 ms and `index_add_` 10 ms. Source: ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import sparse
from torch.nn import functional

from .by_feature import ByFeature

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int64
    from torch import Tensor

    from ..sae_encode import SparseCodes

# Numbers in a block of gathered rows: 256 KiB of float32, which stays in a core's cache.
BLOCK_SIZE = 2**16


def combine(
    codes: SparseCodes, weights: Float32[Tensor, " M"], rows: Float[Tensor, "F d"]
) -> Float32[Tensor, "N d"]:
    """For each token, the weighted sum of its features' rows."""
    return _bags(codes.indices, codes.row_offsets, weights, rows)


def by_feature(codes: SparseCodes) -> ByFeature:
    """The entries sorted by feature: a counting sort, stable, so tokens ascend within a feature."""
    shape = (codes.token_count, codes.feature_count)
    numbers = np.arange(codes.indices.numel())
    by_token = sparse.csr_array((numbers, codes.indices.numpy(), codes.row_offsets.numpy()), shape=shape)
    sorted_entries = by_token.tocsc()
    offsets, order, tokens = (
        torch.from_numpy(part.astype(np.int64, copy=False))
        for part in (sorted_entries.indptr, sorted_entries.data, sorted_entries.indices)
    )
    return ByFeature(offsets=offsets, order=order, tokens=tokens)


def collect(
    entries: ByFeature, weights: Float32[Tensor, " M"], rows: Float[Tensor, "N d"]
) -> Float32[Tensor, "F d"]:
    """For each feature, the weighted sum of its tokens' rows."""
    return _bags(entries.tokens, entries.offsets, weights[entries.order], rows)


def dots(
    codes: SparseCodes, left: Float[Tensor, "N d"], right: Float[Tensor, "F d"]
) -> Float32[Tensor, " M"]:
    """For each entry, its token's row times its feature's row."""
    tokens = codes.entry_tokens()
    out = torch.empty(len(tokens))
    step = max(1, BLOCK_SIZE // left.shape[1])
    for start in range(0, len(tokens), step):
        part = slice(start, start + step)
        token_rows = left.index_select(0, tokens[part]).float()
        feature_rows = right.index_select(0, codes.indices[part]).float()
        torch.linalg.vecdot(token_rows, feature_rows, out=out[part])
    return out


def _bags(
    indices: Int64[Tensor, " M"],
    offsets: Int64[Tensor, " B+1"],
    weights: Float32[Tensor, " M"],
    rows: Float[Tensor, "T d"],
) -> Float32[Tensor, "B d"]:
    """Per bag, the weighted sum of the rows with these numbers."""
    rows, weights = rows.detach(), weights.detach()
    if rows.dtype != torch.float32 or not rows.is_contiguous():
        used = torch.zeros(len(rows), dtype=torch.bool)
        used[indices] = True
        place = used.cumsum(dim=0) - 1
        rows, indices = rows[used].float().contiguous(), place[indices]
    if indices.numel() == 0:
        return torch.zeros(offsets.numel() - 1, rows.shape[1])
    return functional.embedding_bag(
        indices, rows, offsets, per_sample_weights=weights.contiguous(), mode="sum", include_last_offset=True
    )
