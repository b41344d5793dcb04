"""Opening a checkpoint folder: everything is checked here, before anything heavy reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, NothingScannable, UnsafeCheckpoint
from ..findings import Finding, Level
from .bounded_json import read_json
from .chat_template import template_findings
from .consistency import (
    causal_architecture,
    check_dtypes,
    check_layers,
    check_vocabulary,
    find_embedding,
    is_tied,
)
from .inventory import FileEntry, list_files
from .kinds import PICKLE_SUFFIXES, Kind
from .opened import Checkpoint
from .pickles import inspect_pickle
from .remote_code import lint
from .rules import CODE_FILE, DANGEROUS_PICKLE, NOT_CHECKED, OTHER_FORMAT, PICKLE_FILE, finding
from .tokenizer_files import find_tokenizer
from .weights import INDEX, PACKED, SINGLE, find_weights, pickles_only
from .wording import listed, shown

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"
MAX_LISTED = 50
# JSON files that loaders read: broken ones stop the scan, others become findings.
LOADED = frozenset(
    {
        CONFIG,
        ADAPTER_CONFIG,
        INDEX,
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "tekken.json",
        "chat_template.json",
        "processor_config.json",
        "preprocessor_config.json",
    }
)
# Tables of arbitrary words: a key there is a token, not a setting.
WORD_TABLES = frozenset({"vocab.json", "added_tokens.json", "tekken.json", INDEX})


def open_checkpoint(path: Path) -> Checkpoint:
    """Check a checkpoint folder and say what is in it; no tensor data is read.

    Raises:
        NothingScannable: no such folder, an empty one, or only formats that are not scanned here.
        UnsafeCheckpoint: reading on could run code that the folder brought along.
        CheckpointError: damaged, incomplete, contradictory or unsupported.
    """
    entries = list_files(path)
    if CONFIG not in entries:
        raise _no_config(path, entries)
    _refuse_hidden_adapter(entries)
    documents, findings = read_documents(entries)
    config = documents[CONFIG]
    if not isinstance(config, dict):
        raise CheckpointError(f"{CONFIG} must hold a JSON object; download it again")
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or not model_type:
        raise CheckpointError(f"{CONFIG} must name a model_type, got {shown(model_type)}; download it again")
    architecture = causal_architecture(config)
    tensors, more = find_weights(entries, documents)
    findings += more
    check_dtypes(tensors)
    check_layers(config, tensors)
    tokenizer, more = find_tokenizer(entries, documents)
    findings += more
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
        findings=(*findings, *template_findings(entries, documents), *file_findings(entries)),
    )


def read_documents(entries: Mapping[str, FileEntry]) -> tuple[dict[str, Any], list[Finding]]:
    """Every JSON file parsed and linted; the ones that loaders read must be sound.

    Raises:
        CheckpointError: a file that loaders read is broken.
        UnsafeCheckpoint: a loader would run or fetch code because of one.
    """
    documents: dict[str, Any] = {}
    findings: list[Finding] = []
    for name, entry in entries.items():
        loaded = name in LOADED
        if entry.suffix != ".json" and not loaded:
            continue
        if loaded and entry.kind in (*PACKED, Kind.SAFETENSORS):
            raise UnsafeCheckpoint(
                f"{name} must be JSON, its content is a {entry.kind.value}; download it again"
            )
        try:
            document = read_json(entry.path, name)
        except CheckpointError as problem:
            if loaded:
                raise
            findings.append(finding(NOT_CHECKED, Level.NOTE, f"not checked: {problem}", name))
            continue
        documents[name] = document
        settings = document
        if name in WORD_TABLES:
            continue
        if name == "tokenizer.json" and isinstance(document, dict):
            settings = {key: value for key, value in document.items() if key not in ("model", "added_tokens")}
        findings += lint(settings, name, loaded=loaded)
    return documents, findings


def file_findings(entries: Mapping[str, FileEntry]) -> list[Finding]:
    """What to know about files that are neither JSON nor safetensors."""
    findings: list[Finding] = []
    code = [name for name, entry in entries.items() if entry.kind is Kind.CODE]
    if code:
        findings.append(
            finding(
                CODE_FILE,
                Level.WARNING,
                f"the folder holds program code, which was not run: {listed(code)}",
                shown(code[0]),
                files=code[:MAX_LISTED],
            )
        )
    other = [name for name, entry in entries.items() if entry.kind is Kind.OTHER_WEIGHTS]
    if other:
        findings.append(
            finding(
                OTHER_FORMAT,
                Level.NOTE,
                f"these weights are in a format that is not scanned here: {listed(other)}",
                shown(other[0]),
                files=other[:MAX_LISTED],
            )
        )
    for entry in entries.values():
        named_pickle = entry.suffix in PICKLE_SUFFIXES and entry.kind is not Kind.EMPTY
        if entry.kind in PACKED or (named_pickle and entry.kind is not Kind.OTHER_WEIGHTS):
            findings += _pickle_findings(entry)
    return findings


def _pickle_findings(entry: FileEntry) -> list[Finding]:
    report = inspect_pickle(entry)
    name = shown(entry.name)
    findings = []
    if report.dangerous:
        findings.append(
            finding(
                DANGEROUS_PICKLE,
                Level.ERROR,
                f"loading this file runs code: it names {listed(report.dangerous)}; it was not loaded",
                name,
                globals=list(report.dangerous),
            )
        )
    if report.problem:
        findings.append(finding(NOT_CHECKED, Level.WARNING, f"could not be checked: {report.problem}", name))
    if not findings:
        message = f"this {entry.kind.value} was not loaded; loaders that are told to take safetensors skip it"
        findings.append(finding(PICKLE_FILE, Level.NOTE, message, name))
    return findings


def _refuse_hidden_adapter(entries: Mapping[str, FileEntry]) -> None:
    if not any(entry.top_level and name.lower() == ADAPTER_CONFIG for name, entry in entries.items()):
        return
    if SINGLE in entries or INDEX in entries:
        raise UnsafeCheckpoint(
            f"a checkpoint must not hide an adapter, got {ADAPTER_CONFIG} beside full weights, and loaders would "
            "apply it in silence; move it to a folder of its own and pass that as --adapter"
        )
    raise _only_adapter()


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
