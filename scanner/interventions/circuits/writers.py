"""Where heads and MLPs write into the residual stream: the input of a layer's two last projections.

The input of the attention's output projection is the heads side by side, so a head is a slice of it; the
input of the MLP's last projection is its neurons. Both are found by what they do and not by a name: the
last module that runs inside the attention (behind it, inside the layer) and gives the stream's width.

A monitor finds its modules by name instead (`safety/monitoring/readouts.py`): this takes a pass over a token,
and needs one MLP a layer with one last projection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...errors import UsageError
from ...model.loading import LoadedModel, decoder_layers


@dataclass(frozen=True, kw_only=True, eq=False)
class Writer:
    """One projection into the residual stream.

    Attributes:
        width: of its input.
        parts: equal slices of its input that are components of their own: the heads; 1 for an MLP.
        reader: the first projection of the same MLP, which is given what the MLP reads; None for attention.
    """

    layer: int
    is_attention: bool
    module: nn.Module
    width: int
    parts: int
    reader: nn.Module | None = None

    def names(self) -> list[str]:
        """What its parts are called."""
        return [f"head {n}" for n in range(self.parts)] if self.is_attention else ["mlp"]


class _Ran(NamedTuple):
    """A projection that ran, and the widths of what it was given and gave."""

    layer: int
    is_attention: bool
    module: nn.Module
    given: int
    gave: int


def find_writers(loaded: LoadedModel) -> list[Writer]:
    """The writers of every layer, attention before MLP, from one forward pass over one token.

    Raises:
        UsageError: a layer has no attention or no single projection behind it (mixtures of experts).
    """
    layers = decoder_layers(loaded.model)
    for number, layer in enumerate(layers):
        if any("expert" in name for name, _ in layer.named_modules()):
            raise UsageError(
                f"patching needs one MLP a layer, and layer {number} has experts; choose a dense model"
            )
    ran: list[_Ran] = []
    with _listening(list(layers), ran), torch.inference_mode():
        loaded.model(input_ids=torch.tensor([[loaded.start[0]]], device=loaded.model.device), use_cache=False)
    heads = int(loaded.model.config.get_text_config().num_attention_heads)
    return [
        _writer(
            [r for r in ran if (r.layer, r.is_attention) == (number, is_attention)], loaded, heads, number
        )
        for number in range(len(layers))
        for is_attention in (True, False)
    ]


def _writer(ran: Sequence[_Ran], loaded: LoadedModel, heads: int, layer: int) -> Writer:
    """The writer of one attention or MLP, from the projections that ran in it."""
    writing = [r for r in ran if r.gave == loaded.width]
    reading = [r for r in ran if r.given == loaded.width]
    if not writing or not reading:
        raise UsageError(
            f"patching needs layers of attention and MLP with projections into the residual stream; layer {layer} of "
            f"{type(loaded.model).__name__} is built otherwise"
        )
    last = writing[-1]
    if last.is_attention and last.given % heads:
        raise UsageError(
            f"the {heads} heads must share the attention's output evenly, and it is {last.given} wide in layer {layer}"
        )
    return Writer(
        layer=layer,
        is_attention=last.is_attention,
        module=last.module,
        width=last.given,
        parts=heads if last.is_attention else 1,
        reader=None if last.is_attention else reading[0].module,
    )


@contextmanager
def _listening(layers: list[nn.Module], ran: list[_Ran]) -> Iterator[None]:
    """Note each module that is a matrix, in the order in which they run."""
    handles = []
    for number, layer in enumerate(layers):
        inside = {
            id(part)
            for module in layer.modules()
            if "attention" in type(module).__name__.lower()
            for part in module.modules()
        }
        for module in layer.modules():
            weight = getattr(module, "weight", None)
            if any(True for _ in module.children()) or weight is None or weight.ndim != 2:
                continue

            def note(
                module: nn.Module,
                given: tuple[Tensor, ...],
                out: Tensor,
                number: int = number,
                is_attention: bool = id(module) in inside,
            ) -> None:
                ran.append(_Ran(number, is_attention, module, given[0].shape[-1], out.shape[-1]))

            handles.append(module.register_forward_hook(note))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
