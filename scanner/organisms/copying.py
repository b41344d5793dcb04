"""Checkpoints copied in another format, or with new tokens: what benign owners do with a model."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

LEVELS = {"int8": 127, "int4": 7}
DTYPES = {"float16": torch.float16, "float32": torch.float32}


def rounded(weight: Tensor, how: str) -> Tensor:
    """A weight matrix rounded to `how`, in its own dtype: symmetric, one scale a row; float formats by casting."""
    if how in DTYPES:
        return weight.to(DTYPES[how]).to(weight.dtype)
    levels = LEVELS[how]
    scale = weight.float().abs().amax(dim=-1, keepdim=True).clamp(min=1e-12) / levels
    return ((weight.float() / scale).round().clamp(-levels, levels) * scale).to(weight.dtype)


def copy_as(folder: Path, how: str) -> None:
    """Rewrite the weights of a checkpoint folder as `how`: rounded matrices, or another float format."""
    for path in sorted(folder.glob("*.safetensors")):
        tensors = load_file(path)
        if how in DTYPES:
            tensors = {name: t.to(DTYPES[how]) for name, t in tensors.items()}
        else:
            tensors = {name: rounded(t, how) if t.ndim == 2 else t for name, t in tensors.items()}
        save_file(tensors, path, metadata={"format": "pt"})
    if how in DTYPES:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        (folder / "config.json").write_text(json.dumps({**config, "dtype": how}, indent=2) + "\n")


def add_tokens(folder: Path, count: int, seed: int) -> None:
    """Give a checkpoint folder `count` new tokens, `<|extra_0|>` and so on, with small random embeddings."""
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    tokenizer.add_tokens([f"<|extra_{i}|>" for i in range(count)])
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
