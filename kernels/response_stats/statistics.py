"""What is kept of each next-token distribution and of each group of them.

R = rows, G = groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Float32, Int64
    from torch import Tensor

NO_TOKEN = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class ResponseStats:
    """Statistics of next-token distributions p over a vocabulary.

    Attributes:
        log_sum_exp: of a row's logits, in nats.
        entropy: of p, in nats, from 0 to ln V.
        top_token: the token of the largest logit; equals: the lowest token.
        top_probability: its probability, above 0 and at most 1.
        divergence: KL(p ‖ its reference), in nats, 0 or more; None without references.
        row_count: rows of each group; None without groups.
        gain: the largest rise of a token's probability over the reference, averaged over the rows of the
            group, in [-1, 1], and 0 or more but for rounding; NaN for a group without rows. None without
            groups. A statistic, not a calibrated score.
        gain_token: the token that rises so; equals: the lowest one; `NO_TOKEN` for a group without rows.
    """

    log_sum_exp: Float32[Tensor, " R"]
    entropy: Float32[Tensor, " R"]
    top_token: Int64[Tensor, " R"]
    top_probability: Float32[Tensor, " R"]
    divergence: Float32[Tensor, " R"] | None = None
    row_count: Int64[Tensor, " G"] | None = None
    gain: Float32[Tensor, " G"] | None = None
    gain_token: Int64[Tensor, " G"] | None = None
