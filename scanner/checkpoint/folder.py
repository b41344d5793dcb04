"""Opening a checkpoint folder: everything is checked here, before anything heavy reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, NothingScannable, UnsafeCheckpoint
from ..findings import Finding
from .chat_template import template_findings, templates_of
from .consistency import (
    causal_architecture,
    check_dtypes,
    check_layers,
    check_vocabulary,
    find_embedding,
    is_tied,
)
from .documents import ADAPTER_CONFIG, CONFIG, read_documents
from .inventory import FileEntry, list_files
from .kinds import Kind
from .opened import Checkpoint
from .packed_files import PACKED, file_findings
from .rules import HIDDEN_ADAPTER, TEMPLATE_COST, TEMPLATE_ESCAPE
from .tokenizer_files import find_tokenizer
from .weights import INDEX, SINGLE, find_weights, pickles_only
from .wording import listed, shown


def open_checkpoint(path: Path) -> Checkpoint:
    """Check a checkpoint folder and say what is in it; no tensor data is read.

    Raises:
        NothingScannable: no such folder, an empty one, or only formats that are not scanned here.
        UnsafeCheckpoint: reading on could run code that the folder brought along.
        CheckpointError: damaged, incomplete, contradictory or unsupported.
    """
    entries = list_files(path)
    check_layout(path, entries)
    documents, findings = read_documents(entries)
    checkpoint = assemble(path, entries, documents)
    templates = template_findings(entries, documents)
    _refuse_templates(templates)
    return replace(
        checkpoint,
        findings=(
            *findings,
            *checkpoint.findings,
            *templates,
            *file_findings(entries),
        ),
    )


def check_layout(path: Path, entries: Mapping[str, FileEntry]) -> None:
    """Whether this is the folder of one model: it has a configuration, and no adapter hides in it."""
    if CONFIG not in entries:
        raise _no_config(path, entries)
    _refuse_hidden_adapter(entries)


def assemble(path: Path, entries: Mapping[str, FileEntry], documents: Mapping[str, Any]) -> Checkpoint:
    """Configuration, weights and tokenizer held against each other; findings are those about these alone."""
    config = documents[CONFIG]
    if not isinstance(config, dict):
        raise CheckpointError(f"{CONFIG} must hold a JSON object; download it again", location=CONFIG)
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or not model_type:
        raise CheckpointError(
            f"{CONFIG} must name a model_type, got {shown(model_type)}; download it again", location=CONFIG
        )
    architecture = causal_architecture(config)
    tensors, findings = find_weights(entries, documents)
    check_dtypes(tensors)
    check_layers(config, tensors)
    tokenizer, more = find_tokenizer(entries, documents)
    embedding = find_embedding(tensors)
    return Checkpoint(
        root=path,
        config=config,
        architecture=architecture,
        model_type=model_type,
        tensors=tensors,
        tokenizer=tokenizer,
        embedding=embedding,
        vocabulary_size=check_vocabulary(config, tensors, embedding, tokenizer),
        tied=is_tied(config, tensors),
        entries=entries,
        templates={
            f"{name}#{i}" if i else name: text
            for i, (name, text) in enumerate(templates_of(entries, documents))
            if text is not None
        },
        findings=(*findings, *more),
    )


def _refuse_hidden_adapter(entries: Mapping[str, FileEntry]) -> None:
    if not any(entry.top_level and name.lower() == ADAPTER_CONFIG for name, entry in entries.items()):
        return
    if SINGLE in entries or INDEX in entries:
        raise UnsafeCheckpoint(
            f"a checkpoint must not hide an adapter, got {ADAPTER_CONFIG} beside full weights, and loaders would "
            "apply it in silence; move it to a folder of its own and pass that as --adapter",
            rule_id=HIDDEN_ADAPTER,
            location=ADAPTER_CONFIG,
        )
    raise _only_adapter()


def _refuse_templates(findings: Sequence[Finding]) -> None:
    """A scan renders the template many times, so one that attacks its renderer ends it."""
    for found in findings:
        if found.rule_id in (TEMPLATE_ESCAPE, TEMPLATE_COST):
            raise UnsafeCheckpoint(
                f"{found.message}; use the template of the original model",
                rule_id=found.rule_id,
                location=found.location,
            )


def _only_adapter() -> CheckpointError:
    return CheckpointError(
        f"a checkpoint needs a model's weights, got only an adapter ({ADAPTER_CONFIG}); "
        "pass this folder as --adapter and its base model's folder as CHECKPOINT"
    )


def _no_config(path: Path, entries: Mapping[str, FileEntry]) -> CheckpointError | NothingScannable:
    top = {name: entry for name, entry in entries.items() if entry.top_level}
    if ADAPTER_CONFIG in top:
        return _only_adapter()
    if any(entry.kind is Kind.SAFETENSORS or entry.suffix == ".safetensors" for entry in top.values()):
        return CheckpointError(f"a checkpoint needs its {CONFIG}, got weights without it; download that file")
    packed = {name: entry for name, entry in top.items() if entry.kind in PACKED}
    if packed:
        return pickles_only(packed)
    other = [name for name, entry in entries.items() if entry.kind is Kind.OTHER_WEIGHTS]
    if other:
        return NothingScannable(
            f"only safetensors checkpoints are scanned, {listed(other)} is not scannable here; "
            "ask for the safetensors checkpoint"
        )
    inside = sorted(name for name in entries if name.endswith("/" + CONFIG))
    if inside:
        return NothingScannable(
            f"{shown(path)} holds no {CONFIG} itself; give the folder inside it: {shown(inside[0].removesuffix(CONFIG))}"
        )
    return NothingScannable(f"{shown(path)} holds no checkpoint: there is no {CONFIG} in it; check the path")
