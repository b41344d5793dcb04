"""What may be encoded: the checks that every SAE operation makes before it computes.

Letters: N = tokens, d = width of the activation, F = features.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast, get_args

import torch

from .normalisation import Normalisation, token_scale

if TYPE_CHECKING:
    from jaxtyping import Float, Float32
    from torch import Tensor

Activation = Literal["topk", "batchtopk", "abstopk", "relu", "jumprelu"]
COUNTED: tuple[str, ...] = ("topk", "batchtopk", "abstopk")  # activations that keep a number of features
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
        activation: which features are kept.
        floor: float32; a feature fires where its pre-activation is above it, never below 0.
            None for the activations that keep a number of features.
        k: entries a token for those, else None.
        centre: float32, subtracted from the activations (the result is rounded to their dtype),
            or None.
        normalisation: what is done to each token before that.
        feature_scale: float32, what each pre-activation is multiplied by, or None.
    """

    w_enc: Float[Tensor, "F d"]
    b_enc: Float32[Tensor, " F"]
    activation: Activation
    floor: Float32[Tensor, " F"] | None
    k: int | None
    centre: Float32[Tensor, " d"] | None
    normalisation: Normalisation = "none"
    feature_scale: Float32[Tensor, " F"] | None = None

    @property
    def feature_count(self) -> int:
        return self.w_enc.shape[0]

    @property
    def firing_floor(self) -> Float32[Tensor, " F"]:
        """The floor of an activation that has one."""
        if self.floor is None:
            raise ValueError(f"a floor belongs to relu and jumprelu, got {self.activation}")
        return self.floor

    def prepared(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Activations normalised and minus the centre, in the dtype of the activations."""
        scale = token_scale(x.float(), self.normalisation)
        if scale is None and self.centre is None:
            return x
        rows = x.float() if scale is None else scale.apply(x.float())
        return (rows if self.centre is None else rows - self.centre).to(x.dtype)


def check_arguments(
    x: Tensor,
    w_enc: Tensor,
    b_enc: Tensor,
    *,
    activation: str,
    k: int | None,
    threshold: Tensor | float | None,
    centre: Tensor | None,
    normalisation: str = "none",
    feature_scale: Tensor | None = None,
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
    if normalisation not in get_args(Normalisation):
        raise ValueError(
            f"normalisation must be one of {', '.join(get_args(Normalisation))}, got {normalisation!r}"
        )
    if feature_scale is not None:
        _check_vector("feature_scale", feature_scale, feature_count, "F", x)
    floor = _floor(threshold, activation, feature_count, x)
    if activation in COUNTED:
        if k is None or isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= feature_count:
            raise ValueError(f"{activation} needs k from 1 to F = {feature_count}, got {k!r}")
    elif k is not None:
        raise ValueError(f"k belongs to topk, batchtopk and abstopk, got k = {k} with {activation}")
    _check_magnitudes(x, w_enc, b_enc, centre, normalisation, feature_scale)
    return Encoder(
        w_enc=w_enc.detach(),
        b_enc=b_enc.detach().float().contiguous(),
        activation=cast(Activation, activation),
        floor=floor,
        k=k,
        centre=None if centre is None else centre.detach().float(),
        normalisation=cast(Normalisation, normalisation),
        feature_scale=None if feature_scale is None else feature_scale.detach().float().contiguous(),
    )


def check_activations(x: Tensor, encoder: Encoder) -> None:
    """Activations for an encoder that was checked before.

    Raises:
        ValueError: a shape, dtype, device, or a number that is not finite.
    """
    w_enc = encoder.w_enc
    if x.ndim != 2 or x.shape[1] != w_enc.shape[1]:
        raise ValueError(f"x must be [N, d] with d = {w_enc.shape[1]}, got shape {tuple(x.shape)}")
    if x.dtype != w_enc.dtype or x.device != w_enc.device:
        raise ValueError(
            f"x must have the encoder's dtype and device, {w_enc.dtype} on {w_enc.device}, "
            f"got {x.dtype} on {x.device}"
        )
    largest_magnitude("x", x)


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
        return None if activation in COUNTED else torch.zeros(feature_count, device=x.device)
    if threshold is None:
        raise ValueError("jumprelu needs a threshold, one number or one a feature, got None")
    if not isinstance(threshold, torch.Tensor):
        threshold = torch.tensor(float(threshold), device=x.device)
    if threshold.ndim == 0:
        threshold = threshold.expand(feature_count)
    _check_vector("threshold", threshold, feature_count, "F", x)
    largest_magnitude("threshold", threshold)
    return threshold.detach().float().clamp(min=0.0).contiguous()


def _check_magnitudes(
    x: Tensor,
    w_enc: Tensor,
    b_enc: Tensor,
    centre: Tensor | None,
    normalisation: str,
    feature_scale: Tensor | None,
) -> None:
    """Finite inputs, and pre-activations that cannot leave the range of float32."""
    largest_x = largest_magnitude("x", x)
    if normalisation != "none":
        largest_x = x.shape[1] ** 0.5  # the norm of a normalised token, a little more for a layer norm
    largest_w = largest_magnitude("w_enc", w_enc)
    largest_b = largest_magnitude("b_enc", b_enc)
    largest_s = 1.0 if feature_scale is None else max(1.0, largest_magnitude("feature_scale", feature_scale))
    if centre is not None:
        largest_x += largest_magnitude("centre", centre)
        if largest_x > torch.finfo(x.dtype).max:
            raise ValueError(f"x - centre must stay in the range of {x.dtype}, got up to {largest_x:.3g}")
    bound = (x.shape[1] * largest_x * largest_w + largest_b) * largest_s
    if bound > LARGEST_PRE_ACTIVATION:
        raise ValueError(
            "pre-activations must stay in the range of float32: d * max|x| * max|w_enc| + max|b_enc| must be "
            f"at most {LARGEST_PRE_ACTIVATION:.3g}, got {bound:.3g}"
        )


def largest_magnitude(name: str, tensor: Tensor) -> float:
    """The largest magnitude in a tensor of finite numbers, 0 where it is empty.

    Raises:
        ValueError: a NaN or infinity; the message says how many.
    """
    if tensor.numel() == 0:
        return 0.0
    # One pass, no temporary: NaN and infinity both show in the extremes.
    low, high = torch.aminmax(tensor.detach())
    largest = max(abs(float(low)), abs(float(high)))
    if not largest < float("inf"):
        bad = int((~torch.isfinite(tensor)).sum())
        raise ValueError(f"{name} must be finite, got {bad} of {tensor.numel()} values NaN or infinite")
    return largest
