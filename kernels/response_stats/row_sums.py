"""The sums of one pass over the vocabulary, for a part of it, and how parts add up.

With m the largest logit of the part, z a logit and y the reference's logit of the same token:

    total = Σ exp(z - m)     spread = Σ exp(z - m) · (m - z)     cross = Σ exp(z - m) · (z - y)

    log-sum-exp = m + ln total                entropy = ln total + spread / total
    KL(p ‖ q)   = cross / total - log-sum-exp + log-sum-exp of the reference

Both terms of the entropy are 0 or more, so nothing cancels. Source: ours; the running softmax is Milakov and
Gimelshein's (arXiv 1805.02867).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from .statistics import ResponseStats

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64
    from torch import Tensor

# Stands for the largest logit of a part without tokens. Finite, so that differences never are NaN.
LOWEST = -3e38


class RowSums(NamedTuple):
    """The sums of n rows, of one part or of several side by side; all float64 but the token."""

    maximum: Float64[Tensor, "n ..."]
    token: Int64[Tensor, "n ..."]
    total: Float64[Tensor, "n ..."]
    spread: Float64[Tensor, "n ..."]
    cross: Float64[Tensor, "n ..."]

    @classmethod
    def empty(cls, rows: int, device: torch.device) -> RowSums:
        """Of no tokens at all."""
        zero = torch.zeros(rows, dtype=torch.float64, device=device)
        token = torch.zeros(rows, dtype=torch.int64, device=device)
        return cls(torch.full_like(zero, LOWEST), token, zero, zero.clone(), zero.clone())

    def rows(self, part: slice) -> RowSums:
        """Some of the rows, as views."""
        return RowSums(*(tensor[part] for tensor in self))

    def beside(self, parts: RowSums) -> RowSums:
        """These sums [n] as one more part, the first, of parts [n, S] with higher tokens."""
        return RowSums(
            *(torch.cat([mine[:, None], theirs], dim=1) for mine, theirs in zip(self, parts, strict=True))
        )

    def merged(self) -> RowSums:
        """The sums [n] of parts [n, S]; between equal maxima the lowest token wins."""
        maximum = self.maximum.amax(dim=1, keepdim=True)
        behind = maximum - self.maximum
        fade = torch.exp(-behind)
        token = torch.where(behind == 0, self.token, torch.iinfo(torch.int64).max)
        return RowSums(
            maximum=maximum[:, 0],
            token=token.amin(dim=1),
            total=(fade * self.total).sum(dim=1),
            spread=(fade * (self.spread + self.total * behind)).sum(dim=1),
            cross=(fade * self.cross).sum(dim=1),
        )

    @property
    def log_sum_exp(self) -> Float64[Tensor, " n"]:
        """In nats."""
        return self.maximum + self.total.log()


def row_stats(
    rows: RowSums, references: RowSums | None, reference_of: Int64[Tensor, " R"] | None
) -> ResponseStats:
    """The statistics of rows once every token is counted in; groups are left out."""
    divergence = None
    if references is not None and reference_of is not None:
        divergence = rows.cross / rows.total - rows.log_sum_exp + references.log_sum_exp[reference_of]
        divergence = divergence.clamp(min=0.0).float()
    return ResponseStats(
        log_sum_exp=rows.log_sum_exp.float(),
        entropy=(rows.total.log() + rows.spread / rows.total).float(),
        top_token=rows.token,
        top_probability=rows.total.reciprocal().float(),
        divergence=divergence,
    )
