"""Where in a model a signal is read, and with which vector: every signal is a sum of linear readouts.

A head's part of a direction is linear in what goes *into* the attention's output matrix, so that one is read
there; attention, MLP and residual stream are read where they come out.

Modules are found by name and not, as circuits find theirs (`circuits/writers.py`), by a pass over a token: the
model is somebody else's and may be serving, so that every hook on it, another monitor's say, would see that
token as a conversation. And an MLP of experts, which has no last projection of its own, can be read as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from ....kernels.sae_encode.normalisation import Normalisation
from ...model.loading import decoder_layers
from .watches import CircuitWatch, Component, FeatureWatch, ProbeWatch, Signal

_ATTENTION = ("self_attn", "attention", "attn", "self_attention")
_MLP = ("mlp", "feed_forward", "ffn", "block_sparse_moe")
_OUTPUT = ("o_proj", "out_proj", "dense", "c_proj", "wo")


@dataclass(frozen=True, kw_only=True, eq=False)
class Readout:
    """One number a token: `normalised(x) · vector + bias`, with x what goes into or comes out of a module.

    Attributes:
        signal: index of the signal that it is added to.
    """

    module: nn.Module
    side: Literal["input", "output"]
    vector: Tensor
    bias: float
    signal: int
    normalisation: Normalisation = "none"


def readouts_of(model: PreTrainedModel, signals: Iterable[Signal]) -> list[Readout]:
    """Where and how each signal is read in this model.

    Raises:
        ValueError: a layer, head or module that the model lacks, or a vector of another width.
    """
    layers = decoder_layers(model)
    width = cast(Tensor, model.get_input_embeddings().weight).shape[1]
    signals = list(signals)
    for signal in signals:
        for vector in _vectors(signal):
            if vector.shape != (width,):
                raise ValueError(f"{signal.name} must be of width {width}, got {list(vector.shape)}")
    return [readout for i, signal in enumerate(signals) for readout in _of(layers, signal, i)]


def _vectors(signal: Signal) -> list[Tensor]:
    if isinstance(signal, CircuitWatch):
        return [part.direction for part in signal.components]
    return [signal.weight if isinstance(signal, ProbeWatch) else signal.sae.w_enc[signal.feature]]


def _of(layers: nn.ModuleList, signal: Signal, number: int) -> list[Readout]:
    for layer in signal.layers:
        if not 0 <= layer < len(layers):
            raise ValueError(f"{signal.name} needs a layer from 0 to {len(layers) - 1}, got {layer}")
    if isinstance(signal, CircuitWatch):
        return [_of_component(layers[part.layer], part, number) for part in signal.components]
    module = layers[signal.layer]
    if isinstance(signal, ProbeWatch):
        return [Readout(module=module, side="output", vector=signal.weight, bias=signal.bias, signal=number)]
    return [_of_feature(module, signal, number)]


def _of_feature(module: nn.Module, signal: FeatureWatch, number: int) -> Readout:
    sae, row = signal.sae, signal.sae.w_enc[signal.feature].float()
    bias = float(sae.b_enc[signal.feature])
    if sae.apply_b_dec_to_input:
        bias -= float(sae.b_dec.float() @ row)
    return Readout(
        module=module, side="output", vector=row, bias=bias, signal=number, normalisation=sae.normalisation
    )


def _of_component(layer: nn.Module, part: Component, number: int) -> Readout:
    vector = part.weight * part.direction.float()
    if part.site == "resid_post":
        return Readout(module=layer, side="output", vector=vector, bias=0.0, signal=number)
    if part.site == "mlp":
        return Readout(module=_child(layer, _MLP), side="output", vector=vector, bias=0.0, signal=number)
    attention = _child(layer, _ATTENTION)
    if part.site == "attention":
        return Readout(module=attention, side="output", vector=vector, bias=0.0, signal=number)
    output = _child(attention, _OUTPUT)
    weight = output.weight
    if not isinstance(weight, Tensor):
        raise ValueError(f"the attention's output matrix must be a tensor, got {type(weight).__name__}")
    into = weight if isinstance(output, Conv1D) else weight.T  # [inputs, d]
    heads = _head_count(attention, into.shape[0])
    if part.head is None or not 0 <= part.head < heads:
        raise ValueError(f"a head must be 0 to {heads - 1}, got {part.head}")
    width = into.shape[0] // heads
    own = torch.zeros(into.shape[0], device=into.device)
    rows = slice(part.head * width, (part.head + 1) * width)
    own[rows] = into[rows].detach().float() @ vector.to(into.device)
    return Readout(module=output, side="input", vector=own, bias=0.0, signal=number)


def _child(module: nn.Module, names: tuple[str, ...]) -> nn.Module:
    for name, child in module.named_children():
        if name in names:
            return child
    have = ", ".join(name for name, _ in module.named_children())
    raise ValueError(f"a circuit needs a module called {' or '.join(names)} there; the model has {have}")


def _head_count(attention: nn.Module, inputs: int) -> int:
    width = getattr(attention, "head_dim", None) or getattr(attention, "head_size", None)
    if isinstance(width, int) and width > 0:
        return inputs // width
    config = getattr(attention, "config", None)
    count = getattr(config, "num_attention_heads", None) or getattr(attention, "num_heads", None)
    if not isinstance(count, int):
        raise ValueError(
            "the attention does not say how many heads it has; watch the whole attention instead"
        )
    return count
