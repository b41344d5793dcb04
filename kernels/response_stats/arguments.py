"""What may be asked: the checks, and the task in the form that every implementation receives.

Letters: R = rows, d = width, V = vocabulary, Q = references, G = groups.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ..sae_encode.arguments import DTYPES, largest_magnitude

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int64
    from torch import Tensor

# Bound on the size of a logit: products with it, summed over a vocabulary, stay in the range of float32.
LARGEST_LOGIT = 1e30


@dataclass(frozen=True, kw_only=True, eq=False)
class References:
    """What rows are compared with.

    Attributes:
        hidden: final hidden states, in the dtype of the rows.
        of: each row's reference, in [0, Q).
    """

    hidden: Float[Tensor, "Q d"]
    of: Int64[Tensor, " R"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """A call, checked.

    Attributes:
        hidden: final hidden states.
        unembedding: one row a token, in the same dtype.
        bias: float32, zeros where the call gave none.
        softcap: bound on the size of a logit, or None.
        references: None where nothing is compared.
        groups: each row's group, or None.
        group_count: G, 0 without groups.
    """

    hidden: Float[Tensor, "R d"]
    unembedding: Float[Tensor, "V d"]
    bias: Float32[Tensor, " V"]
    softcap: float | None
    references: References | None
    groups: Int64[Tensor, " R"] | None
    group_count: int


def check_arguments(
    hidden: Tensor,
    unembedding: Tensor,
    *,
    bias: Tensor | None,
    softcap: float | None,
    reference_hidden: Tensor | None,
    reference_of: Tensor | None,
    groups: Tensor | None,
    group_count: int | None,
) -> Task:
    """The task, once everything about the call holds.

    Raises:
        ValueError: a shape, dtype, device, range or a number that is not finite; the message gives
            the rule and what was found.
    """
    if hidden.ndim != 2 or unembedding.ndim != 2 or hidden.shape[1] != unembedding.shape[1]:
        raise ValueError(
            "hidden must be [R, d] and unembedding [V, d], "
            f"got shapes {tuple(hidden.shape)} and {tuple(unembedding.shape)}"
        )
    if 0 in unembedding.shape:
        raise ValueError(
            f"unembedding must have at least one token and one dimension, got {list(unembedding.shape)}"
        )
    if hidden.dtype not in DTYPES:
        raise ValueError(f"hidden must be float32, bfloat16 or float16, got {hidden.dtype}")
    _check_like("unembedding", unembedding, hidden)
    if softcap is not None and not (math.isfinite(softcap) and softcap > 0):
        raise ValueError(f"softcap must be a number above 0, or None, got {softcap!r}")
    if bias is None:
        bias = torch.zeros(len(unembedding), device=hidden.device)
    _check_bias(bias, unembedding)
    references = _references(hidden, reference_hidden, reference_of)
    if groups is None:
        if group_count is not None:
            raise ValueError(f"group_count belongs to groups, got {group_count} with groups = None")
    else:
        if references is None:
            raise ValueError("the gain of groups needs reference_hidden, got None")
        if isinstance(group_count, bool) or not isinstance(group_count, int) or group_count < 1:
            raise ValueError(f"groups need group_count, a whole number of at least 1, got {group_count!r}")
        groups = _checked_numbers("groups", groups, group_count, hidden)
    _check_magnitudes(hidden, unembedding, bias, reference_hidden)
    return Task(
        hidden=hidden.detach(),
        unembedding=unembedding.detach(),
        bias=bias.detach().float().contiguous(),
        softcap=None if softcap is None else float(softcap),
        references=references,
        groups=groups,
        group_count=group_count or 0,
    )


def _references(
    hidden: Tensor, reference_hidden: Tensor | None, reference_of: Tensor | None
) -> References | None:
    if reference_hidden is None:
        if reference_of is not None:
            raise ValueError("reference_of needs reference_hidden, got None")
        return None
    if (
        reference_hidden.ndim != 2
        or reference_hidden.shape[1] != hidden.shape[1]
        or not len(reference_hidden)
    ):
        raise ValueError(
            f"reference_hidden must be [Q, d] with Q at least 1 and d = {hidden.shape[1]}, "
            f"got shape {tuple(reference_hidden.shape)}"
        )
    _check_like("reference_hidden", reference_hidden, hidden)
    count = len(reference_hidden)
    if reference_of is None:
        if count != 1:
            raise ValueError(f"several references need reference_of, got Q = {count} and None")
        reference_of = torch.zeros(len(hidden), dtype=torch.int64, device=hidden.device)
    return References(
        hidden=reference_hidden.detach(), of=_checked_numbers("reference_of", reference_of, count, hidden)
    )


def _check_like(name: str, tensor: Tensor, hidden: Tensor) -> None:
    if tensor.dtype != hidden.dtype:
        raise ValueError(f"{name} and hidden must share one dtype, got {tensor.dtype} and {hidden.dtype}")
    if tensor.device != hidden.device:
        raise ValueError(f"{name} and hidden must be on one device, got {tensor.device} and {hidden.device}")


def _check_bias(bias: Tensor, unembedding: Tensor) -> None:
    if tuple(bias.shape) != (len(unembedding),):
        raise ValueError(f"bias must be [V] = [{len(unembedding)}], got shape {tuple(bias.shape)}")
    if not bias.is_floating_point():
        raise ValueError(f"bias must be floating point, got {bias.dtype}")
    if bias.device != unembedding.device:
        raise ValueError(f"bias and hidden must be on one device, got {bias.device} and {unembedding.device}")


def _checked_numbers(name: str, numbers: Tensor, count: int, hidden: Tensor) -> Int64[Tensor, " R"]:
    """One number a row, in [0, count)."""
    if tuple(numbers.shape) != (len(hidden),):
        raise ValueError(f"{name} must be [R] = [{len(hidden)}], got shape {tuple(numbers.shape)}")
    if numbers.is_floating_point() or numbers.is_complex() or numbers.dtype == torch.bool:
        raise ValueError(f"{name} must be whole numbers, got {numbers.dtype}")
    if numbers.device != hidden.device:
        raise ValueError(f"{name} and hidden must be on one device, got {numbers.device} and {hidden.device}")
    if len(numbers):
        low, high = (int(bound) for bound in torch.aminmax(numbers))
        if low < 0 or high >= count:
            raise ValueError(f"{name} must lie in [0, {count}), got values from {low} to {high}")
    return numbers.to(torch.int64).contiguous()


def _check_magnitudes(
    hidden: Tensor, unembedding: Tensor, bias: Tensor, reference_hidden: Tensor | None
) -> None:
    """Finite inputs, and logits that stay far inside the range of float32."""
    largest = largest_magnitude("hidden", hidden)
    if reference_hidden is not None:
        largest = max(largest, largest_magnitude("reference_hidden", reference_hidden))
    bound = hidden.shape[1] * largest * largest_magnitude("unembedding", unembedding) + largest_magnitude(
        "bias", bias
    )
    if bound > LARGEST_LOGIT:
        raise ValueError(
            "logits must stay in range: d * max|hidden| * max|unembedding| + max|bias| must be "
            f"at most {LARGEST_LOGIT:.3g}, got {bound:.3g}"
        )
