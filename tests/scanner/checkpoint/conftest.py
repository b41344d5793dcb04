"""Whole tiny checkpoint folders, sound unless a test damages them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

WIDTH, INNER, VOCABULARY, LAYERS = 16, 24, 12, 2


def tiny_config() -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "vocab_size": VOCABULARY,
        "tie_word_embeddings": True,
    }


def tiny_tensors(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tensors = {"model.embed_tokens.weight": torch.randn(VOCABULARY, WIDTH, generator=generator)}
    for layer in range(LAYERS):
        start = f"model.layers.{layer}."
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            tensors[f"{start}self_attn.{name}.weight"] = torch.randn(WIDTH, WIDTH, generator=generator)
        for name in ("gate_proj", "up_proj"):
            tensors[f"{start}mlp.{name}.weight"] = torch.randn(INNER, WIDTH, generator=generator)
        tensors[f"{start}mlp.down_proj.weight"] = torch.randn(WIDTH, INNER, generator=generator)
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{start}{name}.weight"] = torch.ones(WIDTH)
    tensors["model.norm.weight"] = torch.ones(WIDTH)
    return tensors


def tiny_tokenizer(tokens: int = VOCABULARY) -> dict[str, Any]:
    return {
        "version": "1.0",
        "added_tokens": [{"id": 0, "content": "<s>", "special": True}],
        "model": {"type": "BPE", "vocab": {f"t{i}": i for i in range(tokens)}, "merges": []},
    }


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


@pytest.fixture
def make_checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """make_checkpoint(name, config={...}, tensors=..., tokens=..., drop=(...)) -> folder."""

    def make(
        name: str = "model",
        *,
        config: dict[str, Any] | None = None,
        tensors: dict[str, Tensor] | None = None,
        tokens: int = VOCABULARY,
        drop: tuple[str, ...] = (),
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        write_json(folder / "config.json", tiny_config() | (config or {}))
        write_json(folder / "tokenizer.json", tiny_tokenizer(tokens))
        save_file(tiny_tensors() if tensors is None else tensors, folder / "model.safetensors")
        for file in drop:
            (folder / file).unlink()
        return folder

    return make


@pytest.fixture
def make_adapter(tmp_path: Path) -> Callable[..., Path]:
    """make_adapter(name, config={...}, tensors=...) -> folder of a rank-2 adapter on q_proj and down_proj."""

    def make(
        name: str = "adapter",
        *,
        config: dict[str, Any] | None = None,
        tensors: dict[str, Tensor] | None = None,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        settings = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "r": 2,
            "lora_alpha": 4,
            "target_modules": ["q_proj", "down_proj"],
            "bias": "none",
            "auto_mapping": None,
            "megatron_core": "megatron.core",
        }
        write_json(folder / "adapter_config.json", settings | (config or {}))
        generator = torch.Generator().manual_seed(7)
        start = "base_model.model.model.layers."
        given = tensors or {
            f"{start}0.self_attn.q_proj.lora_A.weight": torch.randn(2, WIDTH, generator=generator),
            f"{start}0.self_attn.q_proj.lora_B.weight": torch.randn(WIDTH, 2, generator=generator),
            f"{start}1.mlp.down_proj.lora_A.weight": torch.randn(2, INNER, generator=generator),
            f"{start}1.mlp.down_proj.lora_B.weight": torch.randn(WIDTH, 2, generator=generator),
        }
        save_file(given, folder / "adapter_model.safetensors")
        return folder

    return make


@pytest.fixture
def tensors() -> Callable[..., dict[str, Tensor]]:
    """tensors(seed) -> the tensors of a tiny model."""
    return tiny_tensors


@pytest.fixture(scope="session")
def real_models() -> Path:
    """The folder of published models; the test skips where it is absent."""
    folder = Path(__file__).resolve().parents[3].parent / "shared" / "real_models"
    if not folder.is_dir():
        pytest.skip("the folder of published models is not here")
    return folder


class Canary:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        import os

        return os.system, (f"touch {self._path}",)


@pytest.fixture
def canary(tmp_path: Path) -> Canary:
    """An object whose unpickling creates `tmp_path / canary`; checked after the test."""
    path = tmp_path / "canary"
    yield Canary(path)
    assert not path.exists(), "a hostile pickle was loaded"
