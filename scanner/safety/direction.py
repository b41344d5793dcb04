"""A direction taken out of the whole model, or added behind one layer, while it runs.

Taken out everywhere means: of what every block reads, and of what its attention and its MLP write, as in
Arditi et al. 2024, section 2.4. `interventions.ablation` does so behind chosen layers alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from ..interventions.changed_states import changed
from ..interventions.edits import AddDirection
from ..interventions.spans import without_span
from ..interventions.steering import steered
from ..model.loading import LoadedModel, decoder_layers


@contextmanager
def direction_ablated(loaded: LoadedModel, direction: Tensor) -> Iterator[None]:
    """Within the block the residual stream never holds anything along `direction` [d], at any token."""
    unit = _on(loaded, direction)
    basis = (unit / unit.norm())[None]

    def without(states: Tensor) -> Tensor:
        return without_span(states, basis)

    def without_where_it_is_stream(states: Tensor) -> Tensor:
        # A part of a block may give something else first: a router its choices, say, or nothing.
        is_stream = isinstance(states, Tensor) and states.shape[-1] == loaded.width
        return without(states) if is_stream else states

    layers = decoder_layers(loaded.model)
    writing = [part for layer in layers for part in (layer, *filter(_multiplies, layer.children()))]
    with changed(
        [(part, without_where_it_is_stream) for part in writing],
        before=[(layer, without) for layer in layers],
    ):
        yield


@contextmanager
def direction_added(loaded: LoadedModel, layer: int, change: Tensor) -> Iterator[None]:
    """Within the block `change` [d] is added to the residual stream behind one layer, at every token."""
    with steered(loaded, [AddDirection(layer=layer, direction=_on(loaded, change))]):
        yield


def _on(loaded: LoadedModel, direction: Tensor) -> Tensor:
    if direction.shape != (loaded.width,) or not bool(direction.norm() > 0):
        raise ValueError(
            f"a direction must be [{loaded.width}] and not zero, got shape {list(direction.shape)} "
            f"of length {float(direction.norm()):.3g}"
        )
    return direction.to(loaded.model.device, loaded.model.dtype)


def _multiplies(part: nn.Module) -> bool:
    """Whether it is the attention or the MLP of a block (or one of its matrices), and no norm."""
    return any(weight.ndim >= 2 for weight in part.parameters())
