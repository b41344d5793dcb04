"""What may be encoded: the checks that every SAE operation makes before it computes.

Letters: N = tokens, d = width of the activation, F = features.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import torch

if TYPE_CHECKING:
    from jaxtyping import Float, Float32
    from torch import Tensor

Activation = Literal["topk", "relu", "jumprelu"]
Implementation = Literal["auto", "reference", "cpu", "triton"]

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# Half of the largest float32: a bound on |pre-activation| below it leaves room for rounding.
LARGEST_PRE_ACTIVATION = torch.finfo(torch.float32).max / 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoder:
    """The encoder half of an SAE, checked: what every implementation receives.

    Attributes:
        w_enc: encoder rows, in the dtype of the activations.
        b_enc: bias in float32.
        floor: float32; a feature fires where its pre-activation is above it, never below 0.
            None for TopK.
        k: entries a token for TopK, else None.
        centre: float32, subtracted from the activations (the result is rounded to their dtype),
            or None.
    """

    w_enc: Float[Tensor, "F d"]
    b_enc: Float32[Tensor, " F"]
    floor: Float32[Tensor, " F"] | None
    k: int | None
    centre: Float32[Tensor, " d"] | None

    @property
    def feature_count(self) -> int:
        return self.w_enc.shape[0]

    @property
    def firing_floor(self) -> Float32[Tensor, " F"]:
        """The floor of an activation that has one."""
        if self.floor is None:
            raise ValueError("a floor belongs to relu and jumprelu, got topk")
        return self.floor

    def centred(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Activations minus the centre, in the dtype of the activations."""
        return x if self.centre is None else (x.float() - self.centre).to(x.dtype)


def check_arguments(
    x: Tensor,
    w_enc: Tensor,
    b_enc: Tensor,
    *,
    activation: str,
    k: int | None,
    threshold: Tensor | float | None,
    centre: Tensor | None,
) -> Encoder:
    """The encoder, once everything about the call holds.

    Raises:
        ValueError: a shape, dtype, device, range or a number that is not finite; the message gives
            the rule and what was found.
    """
    if activation not in get_args(Activation):
        raise ValueError(f"activation must be one of {', '.join(get_args(Activation))}, got {activation!r}")
    if x.ndim != 2 or w_enc.ndim != 2:
        raise ValueError(
            f"x must be [N, d] and w_enc [F, d], got shapes {tuple(x.shape)} and {tuple(w_enc.shape)}"
        )
    if x.shape[1] != w_enc.shape[1]:
        raise ValueError(f"x and w_enc must share d, got {x.shape[1]} and {w_enc.shape[1]}")
    feature_count, width = w_enc.shape
    if feature_count == 0 or width == 0:
        raise ValueError(
            f"w_enc must have at least one feature and one dimension, got [{feature_count}, {width}]"
        )
    if x.dtype not in DTYPES or x.dtype != w_enc.dtype:
        raise ValueError(
            f"x and w_enc must share one dtype of float32, bfloat16, float16, got {x.dtype} and {w_enc.dtype}"
        )
    if w_enc.device != x.device:
        raise ValueError(f"w_enc and x must be on one device, got {w_enc.device} and {x.device}")
    _check_vector("b_enc", b_enc, feature_count, "F", x)
    if centre is not None:
        _check_vector("centre", centre, width, "d", x)
    floor = _floor(threshold, activation, feature_count, x)
    if activation == "topk":
        if k is None or isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= feature_count:
            raise ValueError(f"topk needs k from 1 to F = {feature_count}, got {k!r}")
    elif k is not None:
        raise ValueError(f"k belongs to topk, got k = {k} with {activation}")
    _check_magnitudes(x, w_enc, b_enc, centre)
    return Encoder(
        w_enc=w_enc.detach(),
        b_enc=b_enc.detach().float().contiguous(),
        floor=floor,
        k=k,
        centre=None if centre is None else centre.detach().float(),
    )


def choose_implementation(implementation: str, x: Tensor) -> str:
    """The implementation to run: the asked one, or for "auto" the one of the tensor's device.

    Raises:
        ValueError: an unknown name, or one that cannot run on that device.
        ImportError: triton is asked for, or needed, and not installed.
    """
    if implementation not in get_args(Implementation):
        raise ValueError(
            f"implementation must be one of {', '.join(get_args(Implementation))}, got {implementation!r}"
        )
    device = x.device.type
    if implementation == "auto":
        if device not in ("cpu", "cuda"):
            raise ValueError(
                f"the fast paths need a tensor on cpu or cuda, got {device}; "
                "move it, or ask for implementation='reference'"
            )
        implementation = "triton" if device == "cuda" else "cpu"
    if implementation == "cpu" and device != "cpu":
        raise ValueError(f"implementation='cpu' needs CPU tensors, got {device}; use 'triton' there")
    if implementation == "triton":
        if importlib.util.find_spec("triton") is None:
            raise ImportError(
                "implementation='triton' needs the package triton (pip install triton); without it move the "
                "tensors to the CPU, or ask for implementation='reference'"
            )
        if device != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
            raise ValueError(
                f"implementation='triton' needs CUDA tensors, got {device}; use 'cpu', "
                "or set TRITON_INTERPRET=1 to interpret the kernels slowly on the CPU"
            )
    return implementation


def _check_vector(name: str, vector: Tensor, length: int, letter: str, x: Tensor) -> None:
    if tuple(vector.shape) != (length,):
        raise ValueError(f"{name} must be [{letter}] = [{length}], got shape {tuple(vector.shape)}")
    if not vector.is_floating_point():
        raise ValueError(f"{name} must be floating point, got {vector.dtype}")
    if vector.device != x.device:
        raise ValueError(f"{name} and x must be on one device, got {vector.device} and {x.device}")


def _floor(
    threshold: Tensor | float | None, activation: str, feature_count: int, x: Tensor
) -> Float32[Tensor, " F"] | None:
    """The level that a pre-activation must exceed; ReLU is JumpReLU with threshold 0."""
    if activation != "jumprelu":
        if threshold is not None:
            raise ValueError(f"threshold belongs to jumprelu, got one with {activation}")
        return None if activation == "topk" else torch.zeros(feature_count, device=x.device)
    if threshold is None:
        raise ValueError("jumprelu needs a threshold, one number or one a feature, got None")
    if not isinstance(threshold, torch.Tensor):
        threshold = torch.tensor(float(threshold), device=x.device)
    if threshold.ndim == 0:
        threshold = threshold.expand(feature_count)
    _check_vector("threshold", threshold, feature_count, "F", x)
    _check_finite("threshold", threshold)
    return threshold.detach().float().clamp(min=0.0).contiguous()


def _check_magnitudes(x: Tensor, w_enc: Tensor, b_enc: Tensor, centre: Tensor | None) -> None:
    """Finite inputs, and pre-activations that cannot leave the range of float32."""
    largest_x = _check_finite("x", x)
    largest_w = _check_finite("w_enc", w_enc)
    largest_b = _check_finite("b_enc", b_enc)
    if centre is not None:
        largest_x += _check_finite("centre", centre)
        if largest_x > torch.finfo(x.dtype).max:
            raise ValueError(f"x - centre must stay in the range of {x.dtype}, got up to {largest_x:.3g}")
    bound = x.shape[1] * largest_x * largest_w + largest_b
    if bound > LARGEST_PRE_ACTIVATION:
        raise ValueError(
            "pre-activations must stay in the range of float32: d * max|x| * max|w_enc| + max|b_enc| must be "
            f"at most {LARGEST_PRE_ACTIVATION:.3g}, got {bound:.3g}"
        )


def _check_finite(name: str, tensor: Tensor) -> float:
    """The largest magnitude in the tensor, 0 where it is empty."""
    if tensor.numel() == 0:
        return 0.0
    # One pass, no temporary: NaN and infinity both show in the extremes.
    low, high = torch.aminmax(tensor.detach())
    largest = max(abs(float(low)), abs(float(high)))
    if not largest < float("inf"):
        bad = int((~torch.isfinite(tensor)).sum())
        raise ValueError(f"{name} must be finite, got {bad} of {tensor.numel()} values NaN or infinite")
    return largest
