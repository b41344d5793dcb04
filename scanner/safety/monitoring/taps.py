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
    weights: Tensor  # [readouts here, d]
    biases: Tensor
    normalisation: Normalisation


class Taps:
    """The hooks of a set of readouts; `take` gives what the last pass wrote.

    Args:
        signals: how many signals there are; readouts of one signal are summed.
    """

    def __init__(self, readouts: Sequence[Readout], signals: int, model: nn.Module) -> None:
        self._places: list[_Place] = []
        self._columns: dict[int, Tensor] = {}
        order: list[int] = []
        device = next(model.parameters()).device
        keys = list(dict.fromkeys((id(r.module), r.side, r.normalisation) for r in readouts))
        for key in keys:
            own = [r for r in readouts if (id(r.module), r.side, r.normalisation) == key]
            self._places.append(
                _Place(
                    module=own[0].module,
                    side=own[0].side,
                    weights=torch.stack([r.vector.float() for r in own]).to(device),
                    biases=torch.tensor([r.bias for r in own], device=device),
                    normalisation=own[0].normalisation,
                )
            )
            order += [r.signal for r in own]
        # Readouts in the order of places to signals; left out where each signal is one readout in order.
        self._sum: Tensor | None = None
        if order != list(range(signals)):
            self._sum = torch.zeros(len(order), signals, device=device)
            self._sum[torch.arange(len(order)), torch.tensor(order)] = 1.0

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
        read, self._columns = self._columns, {}
        if len(read) != len(self._places):
            raise RuntimeError(
                f"every watched module must run in each pass, but {len(read)} of {len(self._places)} did"
            )
        joined = read[0] if len(read) == 1 else torch.cat([read[i] for i in range(len(read))], dim=-1)
        return joined if self._sum is None else joined @ self._sum

    def drop(self) -> None:
        """Forget a pass that did not end."""
        self._columns = {}

    def _behind(self, number: int) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            self._read(number, output[0] if isinstance(output, tuple) else output)

        return hook

    def _before(self, number: int) -> Callable[[nn.Module, Any], None]:
        def hook(_module: nn.Module, args: Any) -> None:
            self._read(number, args[0])

        return hook

    def _read(self, number: int, states: Tensor) -> None:
        place = self._places[number]
        # At one token a step every operation costs as much as its arithmetic, so none is done for nothing.
        seen = states.detach() if states.requires_grad else states
        if seen.dtype != torch.float32:
            seen = seen.float()
        if place.normalisation != "none":
            flat = seen.reshape(-1, seen.shape[-1])
            scale = token_scale(flat, place.normalisation)
            if scale is not None:
                seen = scale.apply(flat).view(seen.shape)
        self._columns[number] = nn.functional.linear(seen, place.weights, place.biases)
