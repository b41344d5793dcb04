"""Products with codes of k entries a token, in the time that the entries ask for.

N = tokens, F = features, d = width, k = entries a token. On the CPU the compressed-row products of
scipy run (one core, memory-bound: about a tenth of the dense product's time at k = 16, F = 1024); on
any other device the codes are written out densely, which is right for minibatches. Both deterministic
on the CPU. Source: ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import sparse

if TYPE_CHECKING:
    from jaxtyping import Float32, Int64
    from torch import Tensor


class CodeBatch:
    """The codes of one batch, multiplied from either side."""

    def __init__(
        self, values: Float32[Tensor, "N k"], indices: Int64[Tensor, "N k"], feature_count: int
    ) -> None:
        """Take codes as two matrices; within a token the features must differ."""
        shape = (len(values), feature_count)
        self._matrix: Tensor | sparse.csr_array
        if values.device.type == "cpu":
            offsets = np.arange(0, values.numel() + 1, values.shape[1], dtype=np.int64)
            entries = (values.contiguous().numpy().ravel(), indices.contiguous().numpy().ravel(), offsets)
            self._matrix = sparse.csr_array(entries, shape=shape)
        else:
            self._matrix = torch.zeros(shape, device=values.device).scatter_(1, indices, values)

    def combine(self, rows: Float32[Tensor, "F d"]) -> Float32[Tensor, "N d"]:
        """For each token, the sum of its features' rows, weighted by the codes."""
        if isinstance(self._matrix, torch.Tensor):
            return self._matrix @ rows
        return torch.from_numpy(self._matrix @ rows.numpy())

    def collect(self, x: Float32[Tensor, "N d"]) -> Float32[Tensor, "F d"]:
        """For each feature, the sum of the tokens' rows, weighted by the codes."""
        if isinstance(self._matrix, torch.Tensor):
            return self._matrix.T @ x
        return torch.from_numpy(self._matrix.T @ x.numpy())


def largest(pre: Float32[Tensor, "N F"], k: int) -> tuple[Float32[Tensor, "N k"], Int64[Tensor, "N k"]]:
    """The k largest entries of each row, in no order: values and columns."""
    if pre.device.type != "cpu":
        top = pre.topk(k, dim=1, sorted=False)
        return top.values, top.indices
    feature_count = pre.shape[1]
    columns = np.argpartition(pre.numpy(), feature_count - k, axis=1)[:, feature_count - k :]
    indices = torch.from_numpy(np.ascontiguousarray(columns))
    return pre.gather(1, indices), indices
