"""What may be decoded: codes and decoder that belong together.

Letters: N = tokens, d = width of the activation, F = features, M = entries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..sae_encode.arguments import DTYPES

if TYPE_CHECKING:
    from torch import Tensor

    from ..sae_encode import SparseCodes


def check_arguments(codes: SparseCodes, w_dec: Tensor, b_dec: Tensor | None) -> None:
    """Everything that a kernel relies on when it follows the entries' numbers.

    Raises:
        ValueError: a shape, dtype, device or feature number; the message gives the rule and what was found.
    """
    if w_dec.ndim != 2 or w_dec.shape[0] != codes.feature_count or w_dec.shape[1] == 0:
        raise ValueError(
            f"w_dec must be [F, d] with F = {codes.feature_count} and d at least 1, got shape {tuple(w_dec.shape)}"
        )
    if w_dec.dtype not in DTYPES:
        raise ValueError(f"w_dec must be float32, bfloat16 or float16, got {w_dec.dtype}")
    if codes.values.dtype != torch.float32:
        raise ValueError(f"the values of the codes must be float32, got {codes.values.dtype}")
    _check_device("w_dec", w_dec, codes)
    _check_entries(codes)
    if b_dec is None:
        return
    if tuple(b_dec.shape) != (w_dec.shape[1],):
        raise ValueError(f"b_dec must be [d] = [{w_dec.shape[1]}], got shape {tuple(b_dec.shape)}")
    if not b_dec.is_floating_point():
        raise ValueError(f"b_dec must be floating point, got {b_dec.dtype}")
    _check_device("b_dec", b_dec, codes)


def _check_device(name: str, tensor: Tensor, codes: SparseCodes) -> None:
    if tensor.device != codes.values.device:
        raise ValueError(
            f"{name} and the codes must be on one device, got {tensor.device} and {codes.values.device}"
        )


def _check_entries(codes: SparseCodes) -> None:
    for name in ("row_offsets", "indices"):
        tensor: Tensor = getattr(codes, name)
        if tensor.dtype != torch.int64 or tensor.ndim != 1:
            raise ValueError(
                f"{name} of the codes must be a vector of int64, got {tensor.dtype} of shape {tuple(tensor.shape)}"
            )
        _check_device(f"{name} of the codes", tensor, codes)
    entries = codes.indices.numel()
    if codes.row_offsets.numel() == 0:
        raise ValueError("row_offsets of the codes must hold at least the 0, got none")
    first, last = int(codes.row_offsets[0]), int(codes.row_offsets[-1])
    if first != 0 or last != entries or bool((codes.row_offsets.diff() < 0).any()):
        raise ValueError(
            f"row_offsets of the codes must ascend from 0 to M = {entries}, got from {first} to {last}"
        )
    if entries:
        low, high = (int(bound) for bound in torch.aminmax(codes.indices))
        if low < 0 or high >= codes.feature_count:
            raise ValueError(
                f"indices of the codes must lie in [0, {codes.feature_count}), got values from {low} to {high}"
            )
