"""Taking directions or SAE features out of the residual stream while the model runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..model.hook_points import HookPoint, hook_modules
from ..model.loading import LoadedModel, decoder_layers
from ..sae.autoencoder import SparseAutoencoder


def orthonormal(directions: Tensor) -> Tensor:
    """An orthonormal basis [m, d] of the span of `directions` [n, d]; m ≤ n, dependent ones are dropped."""
    q: Tensor
    r: Tensor
    q, r = torch.linalg.qr(directions.float().T)
    keep = r.diagonal().abs() > 1e-6 * r.diagonal().abs().max().clamp(min=1e-12)
    return q.T[keep].contiguous()


@contextmanager
def ablated(
    loaded: LoadedModel, directions: Mapping[int, Tensor], centres: Mapping[int, Tensor] | None = None
) -> Iterator[None]:
    """Within the block, each layer's directions [n, d] carry nothing behind that layer, at every position.

    The stream's part in their span is set to zero, or, with a layer's centre [d], to that of the centre
    (mean ablation): what the stream holds everywhere, large outlier dimensions say, then stays.
    """
    handles = []
    modules = decoder_layers(loaded.model)
    for layer, raw in directions.items():
        if raw.ndim != 2 or raw.shape[1] != loaded.width:
            raise ValueError(
                f"directions must be [n, {loaded.width}], got {list(raw.shape)} for layer {layer}"
            )
        basis = orthonormal(raw).to(loaded.model.device, loaded.model.dtype)
        centre = torch.zeros_like(basis[0]) if centres is None else centres[layer].to(basis)

        def remove(
            _module: nn.Module,
            _args: object,
            output: Tensor | tuple[Tensor, ...],
            basis: Tensor = basis,
            centre: Tensor = centre,
        ) -> Tensor | tuple[Tensor, ...]:
            states = output[0] if isinstance(output, tuple) else output
            states = states - ((states - centre) @ basis.T) @ basis
            return (states, *output[1:]) if isinstance(output, tuple) else states

        handles.append(modules[layer].register_forward_hook(remove))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


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
    handles = []
    modules = hook_modules(loaded, hook)
    for layer, (given, features) in chosen.items():
        sae = given.to(loaded.model.device)
        wanted = torch.zeros(sae.feature_count, dtype=torch.bool, device=sae.w_enc.device)
        wanted[list(features)] = True

        def subtract(
            _module: nn.Module,
            _args: object,
            output: Tensor | tuple[Tensor, ...],
            sae: SparseAutoencoder = sae,
            wanted: Tensor = wanted,
        ) -> Tensor | tuple[Tensor, ...]:
            states = output[0] if isinstance(output, tuple) else output
            flat = states.reshape(-1, states.shape[-1])
            codes = sae.encode(flat.float())
            kept = wanted[codes.indices]
            change = torch.zeros_like(flat, dtype=torch.float32)
            rows = sae.w_dec[codes.indices[kept]].float() * codes.values[kept, None]
            change.index_add_(0, codes.entry_tokens()[kept], rows)
            states = states - change.to(states.dtype).reshape(states.shape)
            return (states, *output[1:]) if isinstance(output, tuple) else states

        handles.append(modules[layer].register_forward_hook(subtract))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
