"""What can be done to the residual stream behind a layer: add, ablate, clamp; directions or SAE features.

An edit is data; `on(loaded)` makes the function of states [N, d] that carries it out, on the model's device
and in its dtype. Source: activation addition (Turner et al. 2023, arXiv 2308.10248), directional ablation
(Arditi et al. 2024), feature clamping (Templeton et al. 2024).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from ...kernels.sae_encode.normalisation import token_scale
from ..model.loading import LoadedModel
from ..sae.autoencoder import SparseAutoencoder
from .changed_states import StateEdit
from .spans import orthonormal, without_span

Positions = Literal["all", "answer"]


class Edit(Protocol):
    """One change of the residual stream behind one layer.

    Attributes:
        layer: counted from 0.
        positions: `all`, or `answer`: the last prompt token and all that is generated.
    """

    @property
    def layer(self) -> int: ...

    @property
    def positions(self) -> Positions: ...

    def on(self, loaded: LoadedModel) -> StateEdit:
        """The function of states [N, d] that carries it out on this model."""

    def describe(self) -> str:
        """The edit in a few words."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AddDirection:
    """`strength` times the direction [d], as long as it was given, is added."""

    layer: int
    direction: Tensor
    strength: float = 1.0
    positions: Positions = "all"

    def on(self, loaded: LoadedModel) -> StateEdit:
        """Add it to every state."""
        step = self.strength * _checked(self.direction, loaded)
        return lambda states: states + step

    def describe(self) -> str:
        """E.g. `add 1.5 x direction at layer 3`."""
        return f"add {self.strength:g} x direction at layer {self.layer}"


@dataclass(frozen=True, kw_only=True, eq=False)
class AblateDirections:
    """The stream's part in the span of the directions [n, d] becomes that of `centre` [d], or nothing."""

    layer: int
    directions: Tensor
    centre: Tensor | None = None
    positions: Positions = "all"

    def on(self, loaded: LoadedModel) -> StateEdit:
        """Project every state."""
        if self.directions.ndim != 2 or self.directions.shape[1] != loaded.width:
            raise ValueError(
                f"directions must be [n, {loaded.width}], got {list(self.directions.shape)} for layer {self.layer}"
            )
        basis = orthonormal(self.directions).to(loaded.model.device, loaded.model.dtype)
        centre = None if self.centre is None else _checked(self.centre, loaded)
        return lambda states: without_span(states, basis, centre)

    def describe(self) -> str:
        """E.g. `ablate 2 directions at layer 3`."""
        return f"ablate {len(self.directions)} directions at layer {self.layer}"


@dataclass(frozen=True, kw_only=True, eq=False)
class ClampDirection:
    """The stream's component along the direction [d], at unit length, becomes `value`."""

    layer: int
    direction: Tensor
    value: float
    positions: Positions = "all"

    def on(self, loaded: LoadedModel) -> StateEdit:
        """Set the component of every state."""
        raw = _checked(self.direction, loaded)
        if not float(raw.norm()) > 0:
            raise ValueError(
                "a direction to clamp must not be zero everywhere; give one that points somewhere"
            )
        unit = raw / raw.norm()
        return lambda states: states + (self.value - states @ unit)[:, None] * unit

    def describe(self) -> str:
        """E.g. `clamp direction to 4 at layer 3`."""
        return f"clamp direction to {self.value:g} at layer {self.layer}"


@dataclass(frozen=True, kw_only=True, eq=False)
class SetFeatures:
    """SAE features are held at given activations, 0 switching them off; the rest of the stream stays.

    What a feature writes changes by (given - own) activation times its decoder direction, so that the SAE's
    error and every other feature are left alone. Activations are in the SAE's own scale.

    Attributes:
        values: the activation to hold, by feature.
        least: only tokens whose own activation is above it are touched; None touches all, 0 those that fire.
    """

    layer: int
    sae: SparseAutoencoder
    values: Mapping[int, float]
    least: float | None = None
    positions: Positions = "all"

    def on(self, loaded: LoadedModel) -> StateEdit:
        """Encode every state and write the difference."""
        if self.sae.width != loaded.width or self.sae.is_transcoder:
            raise ValueError(
                f"features to set need an autoencoder of width {loaded.width}, got width {self.sae.width}"
                + (" of a transcoder" if self.sae.is_transcoder else "")
            )
        features = sorted(self.values)
        if not all(0 <= f < self.sae.feature_count for f in features):
            raise ValueError(f"features must be 0 to {self.sae.feature_count - 1}, got {features}")
        sae = self.sae.to(loaded.model.device)
        column = torch.full((sae.feature_count,), -1, dtype=torch.long, device=sae.w_enc.device)
        column[features] = torch.arange(len(features), device=sae.w_enc.device)
        wanted = torch.tensor([self.values[f] for f in features], device=sae.w_enc.device)
        written = sae.w_dec[features].float()

        def apply(states: Tensor) -> Tensor:
            flat = states.float()
            codes = sae.encode(flat)
            kept = column[codes.indices] >= 0
            own = flat.new_zeros(len(flat), len(features))
            own[codes.entry_tokens()[kept], column[codes.indices[kept]]] = codes.values[kept].float()
            change = wanted - own
            if self.least is not None:
                change = change * (own > self.least)
            scale = token_scale(flat, sae.normalisation)
            difference = change @ written
            return states + (difference if scale is None else difference * scale.size).to(states.dtype)

        return apply

    def describe(self) -> str:
        """E.g. `set features 12=0, 40=3 at layer 3`."""
        held = ", ".join(f"{f}={self.values[f]:g}" for f in sorted(self.values))
        return f"set features {held} at layer {self.layer}"


def ablate_features(layer: int, sae: SparseAutoencoder, features: Sequence[int]) -> SetFeatures:
    """The edit that switches features off wherever they fire."""
    return SetFeatures(layer=layer, sae=sae, values=dict.fromkeys(features, 0.0))


def _checked(direction: Tensor, loaded: LoadedModel) -> Tensor:
    if direction.shape != (loaded.width,):
        raise ValueError(f"a direction must be [{loaded.width}], got {list(direction.shape)}")
    return direction.to(loaded.model.device, loaded.model.dtype)
