"""What a model would say next, reduced over the vocabulary without ever storing [rows, vocabulary].

`reference.py` is the definition, `cpu.py` and `triton_kernel.py` the fast ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..sae_encode import Implementation
from ..sae_encode.arguments import choose_implementation
from .arguments import check_arguments
from .statistics import NO_TOKEN, ResponseStats

if TYPE_CHECKING:
    from jaxtyping import Float, Integer
    from torch import Tensor

__all__ = ["NO_TOKEN", "ResponseStats", "response_stats"]


@torch.no_grad()
def response_stats(
    hidden: Float[Tensor, "R d"],
    unembedding: Float[Tensor, "V d"],
    *,
    bias: Float[Tensor, " V"] | None = None,
    softcap: float | None = None,
    reference_hidden: Float[Tensor, "Q d"] | None = None,
    reference_of: Integer[Tensor, " R"] | None = None,
    groups: Integer[Tensor, " R"] | None = None,
    group_count: int | None = None,
    implementation: Implementation = "auto",
) -> ResponseStats:
    """How certain each next-token distribution is, what it names, and how far it is from a reference.

    `logits = hidden @ unembeddingᵀ + bias`, accumulated in float32, then `softcap · tanh(logits / softcap)`
    where a softcap is given; p is their softmax over the vocabulary. Made for the sweep over insertions: a
    row is one insertion into one prompt, its reference is the same prompt without it, a group is one
    insertion over several prompts. A trigger moves many prompts towards the same token, and that is what
    the gain of a group measures.

    One pass over the vocabulary for the statistics of rows, a second one, which forms the logits again, for
    the gains of groups. Deterministic: the same call on the same device gives the same bits.

    Args:
        hidden: final hidden states, after the last norm, one row a distribution; float32, bfloat16 or
            float16. R may be 0.
        unembedding: one row a token of the vocabulary, in the dtype of hidden. Contiguous rows are the fast
            layout.
        bias: added to the logits, any floating dtype.
        softcap: bound on the size of a logit, above 0; None where the model has none.
        reference_hidden: the final hidden states to compare with, in the dtype of hidden. Meant to be few.
        reference_of: for each row its reference, in [0, Q); may be left out where Q is 1.
        groups: for each row the group that it belongs to, in [0, group_count), in any order. Needs
            references.
        group_count: G, 1 or more; given if and only if groups are.
        implementation: `auto` takes `cpu` or `triton` by the device of hidden. An explicit choice is
            carried out or refused, never replaced.

    Returns:
        Statistics of rows [R] and of groups [G]; see `ResponseStats`. It carries no gradient.

    Raises:
        ValueError: shapes, dtypes, devices or ranges that do not fit, logits that could exceed 1e30, or a NaN
            or infinity anywhere in the input; the message gives the rule and the values.
        ImportError: the triton implementation without triton installed.

    Source: ours; reducing over the vocabulary without the logits is cut-cross-entropy's idea (arXiv
    2411.09009), the running softmax is Milakov and Gimelshein's (arXiv 1805.02867).
    """
    task = check_arguments(
        hidden, unembedding, bias=bias, softcap=softcap, reference_hidden=reference_hidden,
        reference_of=reference_of, groups=groups, group_count=group_count,
    )  # fmt: skip
    chosen = choose_implementation(implementation, hidden)
    if chosen == "reference":
        from . import reference

        return reference.stats(task)
    if chosen == "cpu":
        from . import cpu

        return cpu.stats(task)
    from . import triton_passes

    return triton_passes.stats(task)
