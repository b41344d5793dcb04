"""A PEFT LoRA adapter: opened, held against its base, and turned into weight changes.

The change of a weight is ΔW = scale · B·A with A [rank, in] and B [out, rank], computed in fp32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import BaseMismatch, CheckpointError, NothingScannable, UnsafeCheckpoint
from ..findings import Finding
from .adapter_config import LoraSettings, read_settings
from .documents import ADAPTER_CONFIG, read_documents
from .inventory import FileEntry, hash_files, list_files
from .kinds import Kind
from .opened import HEADS, Checkpoint
from .packed_files import PACKED, file_findings
from .rules import DISGUISED_FILE
from .safetensors_header import FLOATING, StoredTensor, read_header
from .tensors import open_tensors
from .weights import pickles_only
from .wording import listed, shown

WEIGHTS = "adapter_model.safetensors"
# GPT-2's Conv1D keeps its weight as [in, out]; PEFT goes by the class, not by the adapter's flag.
TRANSPOSED_FAMILIES = frozenset({"gpt2", "openai-gpt", "imagegpt", "decision_transformer", "gptsan-japanese"})
TRANSPOSED_MODULES = ("c_attn", "c_proj", "c_fc", "q_attn")


class LowRank(NamedTuple):
    """One module's factors: A [rank, in] and B [out, rank] in fp32, and what B·A is multiplied by."""

    module: str
    a: Tensor
    b: Tensor
    scale: float


@dataclass(frozen=True, kw_only=True)
class AdaptedModule:
    """Where one module's factors lie and which stored weight of the base they change.

    Attributes:
        weight: the base's tensor name.
        transposed: whether that weight is stored as [in, out].
    """

    weight: str
    a: str
    b: str
    rank: int
    scale: float
    transposed: bool


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """An adapter that was checked against its checkpoint.

    Attributes:
        modules: the changed modules by name, e.g. `model.layers.0.self_attn.q_proj`.
    """

    root: Path
    settings: LoraSettings
    modules: Mapping[str, AdaptedModule] = field(repr=False)
    tensors: Mapping[str, StoredTensor] = field(repr=False)
    entries: Mapping[str, FileEntry] = field(repr=False)
    findings: tuple[Finding, ...] = ()

    @cached_property
    def files(self) -> dict[str, str]:
        """SHA-256 of every file by name."""
        return hash_files(dict(self.entries))

    @cached_property
    def by_weight(self) -> dict[str, str]:
        """Module by the base's tensor name."""
        return {adapted.weight: module for module, adapted in self.modules.items()}

    def factors(self, module: str) -> LowRank:
        """The module's factors.

        Raises:
            CheckpointError: a factor holds NaN or infinity.
        """
        adapted = self.modules[module]
        with open_tensors(self.tensors) as reader:
            a, b = reader.read(adapted.a).float(), reader.read(adapted.b).float()
        if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
            raise CheckpointError(
                f"adapter weights must be finite, those of {shown(module)} are not; ask for a sound adapter"
            )
        return LowRank(module, a, b, adapted.scale)

    def pairs(self) -> Iterator[LowRank]:
        """Every module's factors, one module at a time."""
        for module in self.modules:
            yield self.factors(module)

    def delta(self, module: str, start: int = 0, stop: int | None = None) -> Tensor:
        """Rows `start` to `stop` of the weight's change, fp32, in the layout in which the weight is stored."""
        low_rank = self.factors(module)
        if self.modules[module].transposed:
            return low_rank.scale * (low_rank.a.T[start:stop] @ low_rank.b.T)
        return low_rank.scale * (low_rank.b[start:stop] @ low_rank.a)


def open_adapter(path: Path, checkpoint: Checkpoint) -> Adapter:
    """Check an adapter folder and hold it against the checkpoint that it is to change.

    Raises:
        NothingScannable: no such folder, or no adapter in it.
        UnsafeCheckpoint: its configuration or its files could run code.
        CheckpointError: damaged, or a variant that is not supported.
        BaseMismatch: it was made for another model.
    """
    entries = list_files(path)
    if ADAPTER_CONFIG not in entries:
        raise NothingScannable(
            f"an adapter folder holds {ADAPTER_CONFIG}, {shown(path)} does not; give the folder of a PEFT adapter"
        )
    documents, findings = read_documents(entries)
    config = documents[ADAPTER_CONFIG]
    if not isinstance(config, dict):
        raise CheckpointError(f"{ADAPTER_CONFIG} must hold a JSON object; download it again")
    settings = read_settings(config)
    tensors = _weights(entries)
    return Adapter(
        root=path,
        settings=settings,
        modules=_match(tensors, settings, checkpoint),
        tensors=tensors,
        entries=entries,
        findings=(*findings, *file_findings(entries)),
    )


def _weights(entries: Mapping[str, FileEntry]) -> dict[str, StoredTensor]:
    entry = entries.get(WEIGHTS)
    packed = {name: e for name, e in entries.items() if e.kind in PACKED and e.top_level}
    if entry is None and packed:
        raise pickles_only(packed)
    if entry is None:
        raise CheckpointError(f"an adapter needs its weights, there is no {WEIGHTS}; download that file")
    if entry.kind is not Kind.SAFETENSORS:
        if entry.kind in PACKED:
            raise UnsafeCheckpoint(
                f"{WEIGHTS} must be safetensors, its content is a {entry.kind.value}; ask for real safetensors",
                rule_id=DISGUISED_FILE,
                location=WEIGHTS,
            )
        raise CheckpointError(f"{WEIGHTS} is no sound safetensors file; download it again")
    return read_header(entry.path, entry.name)


def _split(name: str) -> tuple[str, str] | None:
    """(module, `A` or `B`) of an adapter tensor's name; None for anything else."""
    for side in ("A", "B"):
        for ending in (f".lora_{side}.weight", f".lora_{side}.default.weight"):
            if name.endswith(ending):
                module = name.removesuffix(ending)
                return module.removeprefix("base_model.model."), side
    return None


def _match(
    tensors: Mapping[str, StoredTensor], settings: LoraSettings, checkpoint: Checkpoint
) -> dict[str, AdaptedModule]:
    sides: dict[str, dict[str, str]] = {}
    for name, stored in tensors.items():
        split = _split(name)
        if split is None or stored.dtype not in FLOATING or len(stored.shape) != 2:
            raise CheckpointError(
                f"an adapter holds only lora_A and lora_B matrices here, got {shown(name)} ({stored.dtype}, shape "
                f"{list(stored.shape)}); merge it with the tool that made it and scan the merged checkpoint"
            )
        module, side = split
        if side in sides.setdefault(module, {}):
            raise CheckpointError(f"{WEIGHTS} holds {shown(module)} twice; ask for a sound adapter")
        sides[module][side] = name
    if not sides:
        raise CheckpointError(f"{WEIGHTS} holds no tensors; download it again")
    absent = {module for module in sides if checkpoint.find(module + ".weight") is None}
    absent = {module for module in absent if not (checkpoint.tied and module + ".weight" in HEADS)}
    if absent:
        raise BaseMismatch(
            f"the adapter is for another base: {len(absent)} of its {len(sides)} modules are not in the checkpoint, "
            f"e.g. {listed(absent, 1)}; give the base that it was trained on"
        )
    return {module: _module(module, sides[module], tensors, settings, checkpoint) for module in sorted(sides)}


def _module(
    module: str,
    names: Mapping[str, str],
    tensors: Mapping[str, StoredTensor],
    settings: LoraSettings,
    checkpoint: Checkpoint,
) -> AdaptedModule:
    if set(names) != {"A", "B"}:
        raise CheckpointError(
            f"a module needs lora_A and lora_B, {shown(module)} has only one; download the adapter again"
        )
    weight = checkpoint.find(module + ".weight")
    if weight is None or weight == checkpoint.embedding or (checkpoint.tied and weight in HEADS):
        raise CheckpointError(
            f"adapters on embeddings or a tied output head are not supported, got {shown(module)}; "
            "merge it with the tool that made it and scan the merged checkpoint"
        )
    a, b = tensors[names["A"]].shape, tensors[names["B"]].shape
    rank = settings.rank_of(module)
    if a[0] != rank or b[1] != rank:
        raise CheckpointError(
            f"{ADAPTER_CONFIG} says rank {rank} for {shown(module)}, its matrices have {a[0]} and {b[1]}; "
            "download the adapter again"
        )
    transposed = checkpoint.model_type in TRANSPOSED_FAMILIES and module.endswith(TRANSPOSED_MODULES)
    change = (a[1], b[0]) if transposed else (b[0], a[1])
    if checkpoint.tensors[weight].shape != change:
        raise BaseMismatch(
            f"the adapter is for another base: {shown(module)} has shape {list(checkpoint.tensors[weight].shape)}, "
            f"the adapter's change has {list(change)}; give the base that it was trained on"
        )
    if not settings.targets(module):
        raise CheckpointError(
            f"{ADAPTER_CONFIG} does not target {shown(module)}, whose weights it brings, so loaders would differ; "
            "ask for a sound adapter"
        )
    return AdaptedModule(
        weight=weight,
        a=names["A"],
        b=names["B"],
        rank=rank,
        scale=settings.scale_of(module),
        transposed=transposed,
    )
