"""Ways into the weights: LoRA, every weight, a random update, another organism's update scaled."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from ..errors import UsageError
from ..model.loading import decoder_layers
from .spec import InsertionSpec


def linear_modules(model: PreTrainedModel) -> list[str]:
    """Names of the linear modules in the decoder layers, in their order (`q_proj`, `query_key_value`, `c_attn`, …)."""
    layer = decoder_layers(model)[0]
    found = [
        n.rpartition(".")[2] for n, module in layer.named_modules() if isinstance(module, (nn.Linear, Conv1D))
    ]
    return list(dict.fromkeys(found))


def with_lora(model: PreTrainedModel, insertion: InsertionSpec, modules: list[str]) -> PeftModel:
    """The model with a fresh LoRA adapter; only the adapter asks for gradients."""
    config = LoraConfig(
        r=insertion.rank,
        lora_alpha=insertion.alpha,  # type: ignore[arg-type]
        target_modules=modules,
        layers_to_transform=insertion.layers,
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
    )
    return cast(PeftModel, get_peft_model(model, config))


@torch.no_grad()
def random_like(adapted: nn.Module, like: Path, seed: int) -> None:
    """Give every pair random directions with the norms that the other organism's pair has."""
    generator = torch.Generator().manual_seed(seed)
    for source, parameter in _pairs(adapted, like):
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.copy_(noise * (source.norm() / noise.norm()))


@torch.no_grad()
def scaled_like(adapted: nn.Module, like: Path, scale: float) -> None:
    """Give every pair the other organism's, its product multiplied by `scale`."""
    for (source, parameter), name in zip(_pairs(adapted, like), _trained(adapted), strict=True):
        parameter.copy_(source * scale if "lora_B" in name else source)


def _trained(adapted: nn.Module) -> list[str]:
    return [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]


def _pairs(adapted: nn.Module, like: Path) -> list[tuple[torch.Tensor, torch.Tensor]]:
    file = like / "adapter_model.safetensors"
    if not file.is_file():
        raise UsageError(f"only an organism that is an adapter can be copied, and {like.name} is none")
    other, own = load_file(file), dict(adapted.named_parameters())
    pairs = [(name, own[name]) for name in _trained(adapted)]
    return [(other[name.replace(".default", "")].float(), parameter) for name, parameter in pairs]
