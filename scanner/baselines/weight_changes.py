"""What fine-tuning did to the matrices of the decoder layers: suspect minus base, one matrix at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor, nn

from ..model.loading import LoadedModel, decoder_layers

# The modules whose output is added to the residual stream, by the end of their name: Llama and its
# relatives; GPT-NeoX; GPT-2; OPT and MPT; Phi; Falcon.
WRITING = (
    "o_proj",
    "down_proj",
    "attention.dense",
    "dense_4h_to_h",
    "c_proj",
    "out_proj",
    "self_attn.dense",
    "fc2",
    "self_attention.dense",
)
_TRANSPOSED = "Conv1D"  # GPT-2's linear module keeps its weight as [in, out]


class WeightChange(NamedTuple):
    """The change of one matrix, [out, in] in float32 on the CPU; `layer` counts from 0."""

    layer: int
    module: str
    change: Tensor

    @property
    def writes(self) -> bool:
        """Whether the module's output is added to the residual stream."""
        return self.module.endswith(WRITING)


def weight_changes(suspect: LoadedModel, base: LoadedModel) -> Iterator[WeightChange]:
    """The changed matrices of the decoder layers, in their order.

    Raises:
        ValueError: the two models have not the same modules and shapes.
    """
    ours, theirs = decoder_layers(suspect.model), decoder_layers(base.model)
    if len(ours) != len(theirs):
        raise ValueError(
            f"suspect and base must have the same layers, got {len(ours)} and {len(theirs)}; "
            "give the model that the suspect was made from"
        )
    for layer, (mine, its) in enumerate(zip(ours, theirs, strict=True)):
        other = dict(its.named_modules())
        for name, module in mine.named_modules():
            weight = _matrix(module)
            if weight is None:
                continue
            base_weight = _matrix(other[name]) if name in other else None
            if base_weight is None or base_weight.shape != weight.shape:
                raise ValueError(
                    f"suspect and base must have the same matrices, {name} of layer {layer} differs in shape; "
                    "give the model that the suspect was made from"
                )
            change = weight.float().cpu() - base_weight.float().cpu()
            if bool(change.any()):
                yield WeightChange(layer, name, change)


def _matrix(module: nn.Module) -> Tensor | None:
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim != 2:
        return None
    return weight.T if type(module).__name__ == _TRANSPOSED else weight
