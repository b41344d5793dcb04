"""Reading all signals of a forward pass with as few operations as there are places to read.

The readouts of one place share one small matrix product; nothing else of the states is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ....kernels.sae_encode.normalisation import Normalisation, token_scale
from .readouts import Readout


@dataclass(frozen=True, kw_only=True, eq=False)
class _Place:
    module: nn.Module
    side: str
    weights: Tensor  # [signals, d], zero for what is read elsewhere
    normalisation: Normalisation


class Taps:
    """The hooks of a set of readouts; `take` gives what the last pass wrote.

    Args:
        signals: how many signals there are; readouts of one signal are summed.
    """

    def __init__(self, readouts: Sequence[Readout], signals: int, model: nn.Module) -> None:
        self._places: list[_Place] = []
        self._read: dict[int, Tensor] = {}  # what each place gave in this pass [B, T, signals], by number
        device = next(model.parameters()).device
        biases = torch.zeros(signals)
        for key in dict.fromkeys((id(r.module), r.side, r.normalisation) for r in readouts):
            own = [r for r in readouts if (id(r.module), r.side, r.normalisation) == key]
            weights = torch.zeros(signals, len(own[0].vector))
            for readout in own:
                weights[readout.signal] += readout.vector.float().cpu()
                biases[readout.signal] += readout.bias
            self._places.append(
                _Place(
                    module=own[0].module,
                    side=own[0].side,
                    weights=weights.to(device),
                    normalisation=own[0].normalisation,
                )
            )
        self._biases = biases.to(device)

    def attach(self) -> list[Any]:
        """Put the hooks in place and return their handles."""
        handles: list[Any] = []
        for number, place in enumerate(self._places):
            if place.side == "input":
                handles.append(place.module.register_forward_pre_hook(self._before(number)))
            else:
                handles.append(place.module.register_forward_hook(self._behind(number)))
        return handles

    def take(self) -> Tensor:
        """The signals [B, T, signals] of the pass that has just ended."""
        read, places = self._read, len(self._places)
        if len(read) != places:
            raise RuntimeError(f"every watched module must run in each pass, but {len(read)} of {places} did")
        total = read[0]
        for number in range(1, places):
            total = total + read[number]
        read.clear()
        return total

    def drop(self) -> None:
        """Forget a pass that did not end."""
        self._read.clear()

    def _behind(self, number: int) -> Callable[[nn.Module, Any, Any], None]:
        add = self._adding(number)

        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            add(output[0] if isinstance(output, tuple) else output)

        return hook

    def _before(self, number: int) -> Callable[[nn.Module, Any], None]:
        add = self._adding(number)

        def hook(_module: nn.Module, args: Any) -> None:
            add(args[0])

        return hook

    def _adding(self, number: int) -> Callable[[Tensor], None]:
        """What reads a place: its part of every signal.

        At one token a step every operation costs as much as its arithmetic, so none is done for nothing, and what
        the model does all the time is done before what it never does: that is in the processor's caches.
        """
        weights, normalisation = self._places[number].weights, self._places[number].normalisation
        biases = self._biases if number == 0 else None
        read, linear = self._read, nn.functional.linear

        def add(states: Tensor) -> None:
            seen = states.detach() if states.requires_grad else states
            if seen.dtype is not torch.float32:
                seen = seen.float()
            if normalisation != "none":
                flat = seen.flatten(0, -2)
                scale = token_scale(flat, normalisation)
                seen = seen if scale is None else scale.apply(flat).view(seen.shape)
            read[number] = linear(seen, weights, biases)

        return add
