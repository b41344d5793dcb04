"""What some dictionaries do to each token before they encode it, and how it is undone.

`constant_norm_rescale` brings every token to norm √d; `layer_norm` to mean 0 and standard deviation 1
(unbiased, eps added to the standard deviation). Both depend on the token, so unlike a scale for all
tokens they cannot be folded into the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

Normalisation = Literal["none", "constant_norm_rescale", "layer_norm"]
LAYER_NORM_EPS = 1e-5


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenScale:
    """Where each token lies and how large it is: `x = normalised · size + shift`."""

    shift: Float[Tensor, "N 1"]
    size: Float[Tensor, "N 1"]

    def apply(self, x: Float[Tensor, "N d"]) -> Float[Tensor, "N d"]:
        """Raw activations to normalised ones."""
        return (x - self.shift) / self.size

    def undo(self, normalised: Float[Tensor, "N d"]) -> Float[Tensor, "N d"]:
        """Normalised activations to raw ones."""
        return normalised * self.size + self.shift


def token_scale(x: Float[Tensor, "N d"], kind: Normalisation) -> TokenScale | None:
    """The scale of each token, None where nothing is to be done."""
    if kind == "none":
        return None
    if kind == "constant_norm_rescale":
        size = x.norm(dim=1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny) / x.shape[1] ** 0.5
        return TokenScale(shift=torch.zeros_like(size), size=size)
    return TokenScale(shift=x.mean(dim=1, keepdim=True), size=x.std(dim=1, keepdim=True) + LAYER_NORM_EPS)
