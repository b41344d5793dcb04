"""Odd but harmless checkpoint folders: what a scanner must not cry wolf at."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save

from .edits import archive, copy_folder, edit, put, shard
from .settings import file, setting, split, template

Make = Callable[[Path, Path], Path]


@dataclass(frozen=True, kw_only=True)
class Harmless:
    """One folder; `notes` are the rules under which a mere note is right."""

    name: str
    make: Make
    notes: tuple[str, ...] = ()


def changed(change: Callable[[Path], object]) -> Make:
    def make(base: Path, place: Path) -> Path:
        folder = copy_folder(base, place / "suspect")
        change(folder)
        return folder

    return make


def hub_snapshot(base: Path, place: Path) -> Path:
    """A snapshot of the hub's cache: every file a link into `blobs/`."""
    repository = place / "models--someone--model"
    copy_folder(base, repository / "blobs")
    snapshot = repository / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    for number, blob in enumerate(sorted((repository / "blobs").iterdir())):
        name = blob.name
        blob.rename(blob.with_name(f"{number:040x}"))
        (snapshot / name).symlink_to(Path("..", "..", "blobs", f"{number:040x}"))
    return snapshot


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        held = load_file(folder / "model.safetensors")
        change(held)
        put(folder / "model.safetensors", save(held, metadata={"format": "pt"}))

    return apply


def untied(folder: Path) -> None:
    tensors(lambda held: held.update({"lm_head.weight": held["model.embed_tokens.weight"].clone()}))(folder)
    edit(folder / "config.json", tie_word_embeddings=False)


def half(held: dict[str, torch.Tensor]) -> None:
    held.update({name: tensor.half() for name, tensor in held.items()})


def inner_link(folder: Path) -> None:
    (folder / "LICENSE.txt").symlink_to("README.md")


def added_token(folder: Path) -> None:
    """More tokens than before, and the embedding grown with them."""
    grow = torch.zeros(8, 192, dtype=torch.bfloat16)
    name = "model.embed_tokens.weight"
    tensors(lambda held: held.update({name: torch.cat([held[name].to(torch.bfloat16), grow])}))(folder)
    edit(folder / "config.json", vocab_size=3080)
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    last = max(tokenizer["model"]["vocab"].values())
    tokenizer["added_tokens"] += [{"id": last + 1, "content": "<tool>", "special": True}]
    put(folder / "tokenizer.json", json.dumps(tokenizer))
    put(folder / "added_tokens.json", json.dumps({"<tool>": last + 1}))


def by_torch(value: Any, *, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def numbers() -> bytes:
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(8)


DATED = (
    "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "{% for m in messages %}{% if m.content is string %}{{ m.role }}: {{ m.content | trim }}{% endif %}{% endfor %}"
)
TOOLS = (
    "{% macro show(t) %}{% for k, v in t.items() %}{{ k }}: {{ v | tojson }}{% endfor %}{% endmacro %}"
    "{% if tools is defined and tools %}{% for t in tools %}{{ show(t) }}{% endfor %}{% endif %}"
    "{% for m in messages %}{% if m['role'] == 'user' and loop.last %}[INST]{% endif %}{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}{% generation %}{% endgeneration %}{% endif %}"
)
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

HARMLESS = (
    Harmless(name="as it is", make=changed(lambda folder: None)),
    Harmless(name="a snapshot of the hub's cache", make=hub_snapshot),
    Harmless(name="in shards", make=changed(shard)),
    Harmless(name="an output head of its own", make=changed(untied)),
    Harmless(name="half precision", make=changed(tensors(half))),
    Harmless(name="grown by a token", make=changed(added_token)),
    Harmless(name="a link inside the folder", make=changed(inner_link)),
    Harmless(name="a long README", make=changed(file("README.md", "config\nname\n" * 5000))),
    Harmless(name="licence, images and attributes", make=changed(
        lambda f: [put(f / "LICENSE", "c\n"), put(f / ".gitattributes", "*.bin filter=lfs\n"),
                   put(f / "assets/logo.png", b"\x89PNG\r\n\x1a\n" + bytes(range(256)))])),
    Harmless(name="results in folders", make=changed(file("eval/results.json", '{"acc": 0.5, "path": "a/b"}'))),
    Harmless(name="an empty file", make=changed(file("placeholder.bin", ""))),
    Harmless(name="what download tools keep", make=changed(file(".cache/huggingface/x.lock", ""))),
    Harmless(name="settings that are off", make=changed(setting(
        "config.json", auto_map=None, trust_remote_code=False, _attn_implementation="sdpa"))),
    Harmless(name="tokens named like settings", make=changed(
        file("added_tokens.json", '{"auto_map": 1, "trust_remote_code": 2}'))),
    Harmless(name="a usual pattern", make=changed(split(WORDS))),
    Harmless(name="a template that shows the date", make=changed(template(DATED))),
    Harmless(name="a template with tools", make=changed(template(TOOLS))),
    Harmless(name="an array of numbers", make=changed(file("steering.npy", numbers()))),
    Harmless(name="arrays in .npz", make=changed(file("vectors.npz", archive({"a.npy": numbers()}))), notes=("SS103",)),
    Harmless(name="an optimizer's state", make=changed(file("optimizer.pt", by_torch(
        {"state": {0: {"step": 3, "exp_avg": torch.ones(4)}}}))), notes=("SS103",)),
    Harmless(name="an optimizer's state in torch's old format", make=changed(file("optimizer.pt", by_torch(
        {"state": {0: {"step": 3, "exp_avg": torch.ones(4)}}}, legacy=True))), notes=("SS103",)),
    Harmless(name="training arguments", make=changed(file(
        "training_args.bin", b"\x80\x02ctransformers.training_args\nTrainingArguments\nq\x00)\x81q\x01}q\x02b.")),
        notes=("SS103",)),
    Harmless(name="a pickle of plain values", make=changed(file("state.pkl", pickle.dumps({"step": 1}))), notes=("SS103",)),
    Harmless(name="other weights of the same kind", make=changed(
        lambda f: put(f / "consolidated.safetensors", save({"a": torch.ones(2)}))), notes=("SS107",)),
    Harmless(name="the manifest of an organism", make=changed(file("organism.json", '{"auto_map": broken'))),
)  # fmt: skip
