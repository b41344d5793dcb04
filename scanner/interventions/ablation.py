"""Taking directions or SAE features out of the residual stream while the model runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from ..model.hook_points import HookPoint, hook_modules
from ..model.loading import LoadedModel
from ..sae.autoencoder import SparseAutoencoder
from .changed_states import StateEdit, changed
from .edits import AblateDirections, ablate_features
from .steering import steered


@contextmanager
def ablated(
    loaded: LoadedModel, directions: Mapping[int, Tensor], centres: Mapping[int, Tensor] | None = None
) -> Iterator[None]:
    """Within the block, each layer's directions [n, d] carry nothing behind that layer, at every position.

    The stream's part in their span is set to zero, or, with a layer's centre [d], to that of the centre
    (mean ablation): what the stream holds everywhere, large outlier dimensions say, then stays.
    """
    edits = [
        AblateDirections(layer=layer, directions=raw, centre=None if centres is None else centres[layer])
        for layer, raw in directions.items()
    ]
    with steered(loaded, edits):
        yield


def random_like(directions: Mapping[int, Tensor], seed: int) -> dict[int, Tensor]:
    """As many random directions per layer as were given, from a seed."""
    generator = torch.Generator().manual_seed(seed)
    return {layer: torch.randn(raw.shape, generator=generator) for layer, raw in directions.items()}


@contextmanager
def features_ablated(
    loaded: LoadedModel,
    chosen: Mapping[int, tuple[SparseAutoencoder, Sequence[int]]],
    *,
    hook: HookPoint = "resid_post",
) -> Iterator[None]:
    """Within the block, what the given SAE features of each layer write is taken out where the SAE reads.

    Only the features' own contributions (activation times decoder direction) are subtracted; the rest of
    what stands there, the SAE's error included, stays as it is.
    """
    modules = hook_modules(loaded, hook)
    edits = [(modules[layer], _taking_out(loaded, layer, *own)) for layer, own in chosen.items()]
    with changed(edits):
        yield


def _taking_out(
    loaded: LoadedModel, layer: int, sae: SparseAutoencoder, features: Sequence[int]
) -> StateEdit:
    edit = ablate_features(layer, sae, features).on(loaded)
    return lambda states: edit(states.reshape(-1, states.shape[-1])).reshape(states.shape)
