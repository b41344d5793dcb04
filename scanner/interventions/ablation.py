"""Taking directions or SAE features out of the residual stream while the model runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from ..model.loading import LoadedModel, decoder_layers
from ..sae.autoencoder import SparseAutoencoder
from .changed_states import StateEdit, changed
from .edits import AblateDirections
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
    loaded: LoadedModel, chosen: Mapping[int, tuple[SparseAutoencoder, Sequence[int]]]
) -> Iterator[None]:
    """Within the block, what the given SAE features of each layer write is taken out of the residual stream.

    Only the features' own contributions (activation times decoder direction) are subtracted; the rest of
    the stream, the SAE's error included, stays as it is.
    """
    modules = decoder_layers(loaded.model)
    with changed([(modules[layer], _subtracting(*own, loaded)) for layer, own in chosen.items()]):
        yield


def _subtracting(given: SparseAutoencoder, features: Sequence[int], loaded: LoadedModel) -> StateEdit:
    sae = given.to(loaded.model.device)
    wanted = torch.zeros(sae.feature_count, dtype=torch.bool, device=sae.w_enc.device)
    wanted[list(features)] = True

    def subtract(states: Tensor) -> Tensor:
        flat = states.reshape(-1, states.shape[-1])
        codes = sae.encode(flat.float())
        kept = wanted[codes.indices]
        change = torch.zeros_like(flat, dtype=torch.float32)
        rows = sae.w_dec[codes.indices[kept]].float() * codes.values[kept, None]
        change.index_add_(0, codes.entry_tokens()[kept], rows)
        return states - change.to(states.dtype).reshape(states.shape)

    return subtract
