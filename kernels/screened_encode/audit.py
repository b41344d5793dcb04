"""What a screened run says of itself: how many entries an exact run on a sample would have added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ..sae_encode import reference
from .screen import SIGMAS

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from ..sae_encode.arguments import Encoder
    from ..sae_encode.sparse_codes import SparseCodes

SLACK = 1e-5  # of the largest value: two ways to add up a float32 product differ by as much
EXACT_TOKENS = (
    32  # tokens that are encoded exactly at a time: few dense rows, and few passes over the encoder
)
REFUSED_SHARE = 16  # more candidates than one in so many features are not worth screening
REFUSED_PER_K = 16  # nor than so many for each entry that is kept


@dataclass(frozen=True, kw_only=True)
class Audit:
    """How a screened run was checked.

    Attributes:
        tokens: tokens that were encoded exactly as well.
        expected: entries with a value other than 0 that the exact codes of these tokens have.
        missed: those among them that the screened codes lack, ties at the last kept value aside.
        candidates: mean number of entries a token that were rescored.
        deviation: the largest error of the screen among all rescored entries of the run, in its
            standard deviations.
    """

    tokens: int
    expected: int
    missed: int
    candidates: float
    deviation: float
    all_tokens: int = 0

    @classmethod
    def empty(cls) -> Audit:
        """Of no token."""
        return cls(tokens=0, expected=0, missed=0, candidates=0.0, deviation=0.0)

    def merge(self, other: Audit) -> Audit:
        """Of both runs together."""
        total = self.all_tokens + other.all_tokens
        summed = self.candidates * self.all_tokens + other.candidates * other.all_tokens
        return Audit(
            tokens=self.tokens + other.tokens,
            expected=self.expected + other.expected,
            missed=self.missed + other.missed,
            candidates=summed / total if total else 0.0,
            deviation=max(self.deviation, other.deviation),
            all_tokens=total,
        )


def audited(
    x: Float[Tensor, "N d"],
    encoder: Encoder,
    codes: SparseCodes,
    candidates: int,
    deviation: float,
    tokens: int,
    seed: int,
) -> Audit:
    """Compare the codes of some tokens with exact ones.

    Args:
        candidates: entries that were rescored, of all tokens.
        deviation: as in `Audit`.

    Raises:
        ValueError: the run had so many candidates, or candidates so far off, that the bound means nothing.
    """
    if deviation > SIGMAS:
        raise ValueError(
            f"the screen may be off by {SIGMAS:g} standard deviations, got {deviation:.1f}; "
            "these activations cannot be screened, use sae_encode"
        )
    per_token = candidates / max(1, len(x))
    most = max(encoder.feature_count / REFUSED_SHARE, REFUSED_PER_K * (encoder.k or 0))
    if per_token > min(most, encoder.feature_count - 1) and encoder.feature_count > REFUSED_SHARE:
        raise ValueError(
            f"screening pays below {most:.0f} candidates a token, got {per_token:.0f}; "
            "these activations or this threshold need sae_encode"
        )
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randperm(len(x), generator=generator)[:tokens].sort().values.to(x.device)
    rows = codes.entry_tokens()
    place = torch.full((len(x),), -1, dtype=torch.int64, device=x.device)
    place[drawn] = torch.arange(len(drawn), device=x.device)
    inside = place[rows] >= 0
    found = place[rows[inside]] * codes.feature_count + codes.indices[inside]
    expected = missed = 0
    for start in range(0, len(drawn), EXACT_TOKENS):
        exact = reference.encode(x[drawn[start : start + EXACT_TOKENS]], encoder)
        firing = exact.values != 0
        own, size = exact.entry_tokens()[firing], exact.values[firing].abs()
        lost = ~torch.isin((own + start) * codes.feature_count + exact.indices[firing], found)
        slack = SLACK * float(size.max()) if len(size) else 0.0
        expected += int(firing.sum())
        missed += int((lost & (size > _lowest_kept(exact, encoder)[own] + slack)).sum())
    return Audit(
        tokens=len(drawn),
        expected=expected,
        missed=missed,
        candidates=per_token,
        deviation=deviation,
        all_tokens=len(x),
    )


def _lowest_kept(exact: SparseCodes, encoder: Encoder) -> Tensor:
    """Per token the value that an entry must exceed to be kept for sure."""
    if encoder.k is not None and exact.token_count:
        return exact.top().values.abs().amin(dim=1)
    floor = 0.0 if encoder.floor is None else float(encoder.floor.min())
    return torch.full((exact.token_count,), floor, device=exact.values.device)
