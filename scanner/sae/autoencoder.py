"""A trained sparse autoencoder: activations in, the few features that are on out, and back.

    codes = activation((x - [b_dec]) @ w_encᵀ + b_enc)        x̂ = codes @ w_dec + b_dec

`[b_dec]` is subtracted only where `apply_b_dec_to_input` says so. Every public format is folded into
this form by its reader, so nothing downstream knows where a dictionary came from.

A transcoder has the same encoder but decodes to another hook point, `hook_out`, which may have another
width and be reached by a linear path besides: `ŷ = codes @ w_dec + b_dec + x @ w_skipᵀ`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, get_args

import torch

from ...kernels.sae_encode import COUNTED, Activation, SparseCodes, sae_encode
from ...kernels.sae_encode.normalisation import Normalisation, token_scale
from ...kernels.sparse_decode import sparse_decode

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class SparseAutoencoder:
    """One dictionary of features for one hook point.

    Attributes:
        w_enc: encoder, one row a feature.
        b_enc: encoder bias.
        w_dec: decoder directions, one row a feature; d_out = d unless it is a transcoder.
        b_dec: what the reconstruction is without any feature.
        activation: as in `sae_encode`.
        k: features a token, for `topk`, `batchtopk` and `abstopk`.
        threshold: level that a pre-activation must exceed, one a feature, for `jumprelu` alone.
        apply_b_dec_to_input: whether b_dec is subtracted before encoding.
        normalisation: what is done to each token first; the codes are then in the normalised scale.
        layer: block whose residual stream it reads; None where the source does not say.
        hook: the hook point's name as the source has it, "" where it does not say.
        hook_out: the hook point that a transcoder decodes to; "" for an autoencoder, which decodes to
            where it reads.
        w_skip: the linear path of a transcoder from x to its output, None without one.
        stated_l0: features a token that its authors state or aimed at, where the source has it.
        format: the public format it was read from, "" for one made here.
        source: where it came from, for reports.
    """

    w_enc: Float[Tensor, "F d"]
    b_enc: Float[Tensor, " F"]
    w_dec: Float[Tensor, "F d_out"]
    b_dec: Float[Tensor, " d_out"]
    activation: Activation
    k: int | None = None
    threshold: Float[Tensor, " F"] | None = None
    apply_b_dec_to_input: bool = True
    normalisation: Normalisation = "none"
    layer: int | None = None
    hook: str = ""
    hook_out: str = ""
    w_skip: Float[Tensor, "d_out d"] | None = None
    stated_l0: float | None = None
    format: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        if self.w_enc.ndim != 2:
            raise ValueError(f"w_enc must be [F, d], got shape {tuple(self.w_enc.shape)}")
        features, width = self.w_enc.shape
        _check_shape("b_enc", self.b_enc, "[F]", (features,))
        if self.is_transcoder:
            self._check_transcoder(features, width)
        else:
            _check_shape("w_dec", self.w_dec, "[F, d]", (features, width))
            _check_shape("b_dec", self.b_dec, "[d]", (width,))
            if self.w_skip is not None:
                raise ValueError("w_skip belongs to a transcoder, got one without hook_out")
        if self.layer is not None and self.layer < 0:
            raise ValueError(f"layer must be 0 or more, got {self.layer}")
        if self.activation not in get_args(Activation):
            names = ", ".join(get_args(Activation))
            raise ValueError(f"activation must be one of {names}, got {self.activation!r}")
        if self.normalisation not in get_args(Normalisation):
            names = ", ".join(get_args(Normalisation))
            raise ValueError(f"normalisation must be one of {names}, got {self.normalisation!r}")
        if self.activation in COUNTED:
            if self.k is None or not 1 <= self.k <= features:
                raise ValueError(f"{self.activation} needs k from 1 to F = {features}, got {self.k}")
        elif self.k is not None:
            raise ValueError(f"k belongs to {', '.join(COUNTED)}, got k = {self.k} with {self.activation}")
        if self.activation == "jumprelu":
            if self.threshold is None:
                raise ValueError("jumprelu needs a threshold [F], got None")
            _check_shape("threshold", self.threshold, "[F]", (features,))
        elif self.threshold is not None:
            raise ValueError(f"threshold belongs to jumprelu, got one with {self.activation}")

    def _check_transcoder(self, features: int, width: int) -> None:
        if self.w_dec.ndim != 2:
            raise ValueError(f"w_dec must be [F, d_out], got shape {tuple(self.w_dec.shape)}")
        out = self.w_dec.shape[1]
        _check_shape("w_dec", self.w_dec, "[F, d_out]", (features, out))
        _check_shape("b_dec", self.b_dec, "[d_out]", (out,))
        if self.w_skip is not None:
            _check_shape("w_skip", self.w_skip, "[d_out, d]", (out, width))
        if self.apply_b_dec_to_input:
            raise ValueError("a transcoder's b_dec belongs to its output, got apply_b_dec_to_input")

    @property
    def is_transcoder(self) -> bool:
        """Whether it decodes to another hook point than it reads."""
        return bool(self.hook_out)

    @property
    def feature_count(self) -> int:
        """F, the number of features."""
        return self.w_enc.shape[0]

    @property
    def width(self) -> int:
        """d, the width of the activations."""
        return self.w_enc.shape[1]

    def encode(self, x: Float[Tensor, "N d"]) -> SparseCodes:
        """Which features each token switches on; runs on the fused kernel.

        Raises:
            ValueError: x is not [N, d], or is on another device than the weights.
        """
        if x.ndim != 2 or x.shape[1] != self.width:
            raise ValueError(f"x must be [N, d] with d = {self.width}, got shape {tuple(x.shape)}")
        return sae_encode(
            x.to(self.w_enc.dtype),
            self.w_enc,
            self.b_enc,
            activation=self.activation,
            k=self.k,
            threshold=self.threshold,
            centre=self.b_dec if self.apply_b_dec_to_input else None,
            normalisation=self.normalisation,
        )

    def decode(self, codes: SparseCodes) -> Float[Tensor, "N d"]:
        """The activations that the codes stand for: their decoder directions summed, plus b_dec.

        Raises:
            ValueError: the codes belong to a dictionary of another size, or the output depends on the
                token itself: the SAE normalises each token, or has a linear path beside the features.
        """
        if self.w_skip is not None:
            raise ValueError("decode needs an SAE without w_skip; use reconstruct(x)")
        if self.normalisation != "none":
            raise ValueError(f"decode needs an SAE without {self.normalisation}; use reconstruct(x)")
        return self._decoded(codes).to(self.w_dec.dtype)

    def reconstruct(self, x: Float[Tensor, "N d"], codes: SparseCodes | None = None) -> Float[Tensor, "N d"]:
        """What is left of x when it must pass through the features; `codes` where they are at hand.

        Of a transcoder: what it predicts at `hook_out`.
        """
        decoded = self._decoded(self.encode(x) if codes is None else codes)
        if self.w_skip is not None:
            decoded = decoded + x.float() @ self.w_skip.float().T
        scale = None if self.is_transcoder else token_scale(x.float(), self.normalisation)
        return (decoded if scale is None else scale.undo(decoded)).to(self.w_dec.dtype)

    def _decoded(self, codes: SparseCodes) -> Float[Tensor, "N d"]:
        if codes.feature_count != self.feature_count:
            raise ValueError(
                f"codes must be over F = {self.feature_count} features, got {codes.feature_count}"
            )
        return sparse_decode(codes, self.w_dec, self.b_dec)

    def to(self, device: torch.device | str) -> SparseAutoencoder:
        """The same dictionary on another device."""
        return replace(
            self,
            w_enc=self.w_enc.to(device),
            b_enc=self.b_enc.to(device),
            w_dec=self.w_dec.to(device),
            b_dec=self.b_dec.to(device),
            threshold=None if self.threshold is None else self.threshold.to(device),
            w_skip=None if self.w_skip is None else self.w_skip.to(device),
        )


def _check_shape(name: str, tensor: Tensor, letters: str, expected: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != expected:
        raise ValueError(f"{name} must be {letters} = {list(expected)}, got shape {tuple(tensor.shape)}")
