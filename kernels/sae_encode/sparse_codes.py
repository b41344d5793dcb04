"""The codes of a sparse autoencoder, one row a token, only the features that are on.

N = tokens, F = features, M = stored entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from jaxtyping import Float32, Int64
    from torch import Tensor


class TopCodes(NamedTuple):
    """The k entries of every token, as two matrices."""

    indices: Int64[Tensor, "N k"]
    values: Float32[Tensor, "N k"]


@dataclass(frozen=True, kw_only=True, eq=False)
class SparseCodes:
    """Which features each token switches on, and how strongly (compressed rows).

    Token `n` owns the entries `row_offsets[n]` up to, not including, `row_offsets[n + 1]`.

    * TopK: exactly k entries a token, by value descending, equal values by feature ascending. An
      entry whose pre-activation is not positive has the value 0: chosen, but not firing.
    * AbsTopK: exactly k entries a token, by absolute value descending; values have their signs.
    * ReLU, JumpReLU and BatchTopK: every firing feature, by feature ascending; all values are above 0.

    Attributes:
        row_offsets: int64, starts with 0 and ends with M.
        indices: int64 feature numbers in [0, F).
        values: float32 activations in the units of the SAE's pre-activations; 0 or more but for AbsTopK.
        feature_count: F, the width of the dictionary.
    """

    row_offsets: Int64[Tensor, " N+1"]
    indices: Int64[Tensor, " M"]
    values: Float32[Tensor, " M"]
    feature_count: int

    def __post_init__(self) -> None:
        if self.indices.shape != self.values.shape:
            raise ValueError(
                "indices and values must have the same shape, "
                f"got {tuple(self.indices.shape)} and {tuple(self.values.shape)}"
            )

    @property
    def token_count(self) -> int:
        """N, the number of rows."""
        return self.row_offsets.numel() - 1

    def entry_tokens(self) -> Int64[Tensor, " M"]:
        """The token that each entry belongs to, counted from 0."""
        rows = torch.arange(self.token_count, device=self.row_offsets.device)
        return rows.repeat_interleave(self.row_offsets.diff(), output_size=self.indices.numel())

    def top(self) -> TopCodes:
        """The same codes as `[N, k]` matrices, without a copy.

        Raises:
            ValueError: the tokens have different numbers of entries, as after ReLU or JumpReLU.
        """
        counts = self.row_offsets.diff()
        width = int(counts[0]) if self.token_count else 0
        if bool((counts != width).any()):
            raise ValueError(
                "top() needs the same number of entries for every token, "
                f"got {int(counts.min())} to {int(counts.max())}; read row_offsets instead"
            )
        shape = (self.token_count, width)
        return TopCodes(self.indices.view(shape), self.values.view(shape))

    def dense(self) -> Float32[Tensor, "N F"]:
        """The codes with every zero written out: N·F numbers, for small cases only."""
        matrix = torch.zeros(
            self.token_count, self.feature_count, dtype=self.values.dtype, device=self.values.device
        )
        matrix[self.entry_tokens(), self.indices] = self.values
        return matrix
