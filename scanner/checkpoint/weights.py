"""Which safetensors files a loader of the folder would read, and what tensors they hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..errors import CheckpointError, NothingScannable, UnsafeCheckpoint
from ..findings import Finding, Level
from .inventory import FileEntry
from .kinds import Kind
from .packed_files import PACKED, dangerous_globals
from .rules import DANGEROUS_PICKLE, DISGUISED_FILE, INDEX_PATH, PICKLE_FILE, UNREAD_WEIGHTS, finding, refused
from .safetensors_header import StoredTensor, read_header
from .wording import listed, shown

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
SHARD = re.compile(r".+-\d{5}-of-\d{5}\.safetensors")


def find_weights(
    entries: Mapping[str, FileEntry], documents: Mapping[str, Any]
) -> tuple[dict[str, StoredTensor], list[Finding]]:
    """Every tensor by name, and findings about weights that no loader reads.

    Raises:
        CheckpointError: a missing, damaged or contradictory file.
        UnsafeCheckpoint: only pickles, or an index that leads out of the folder.
        NothingScannable: only weights in formats that are not scanned here.
    """
    if SINGLE in entries and INDEX in entries:
        raise CheckpointError(
            f"a checkpoint has one set of weights, got both {SINGLE} and {INDEX}; remove the one that is not meant"
        )
    if INDEX in entries:
        tensors = _sharded(entries, documents[INDEX])
    elif SINGLE in entries:
        tensors = _tensors_of(entries[SINGLE])
    else:
        raise _no_weights(entries)
    if not tensors:
        raise CheckpointError("a checkpoint must hold tensors, got none; download it again")
    read = {tensor.file for tensor in tensors.values()}
    unread = [name for name, e in entries.items() if e.kind is Kind.SAFETENSORS and name not in read]
    return tensors, [found for name in unread for found in _unread(entries[name])]


def _unread(entry: FileEntry) -> list[Finding]:
    """Findings about a safetensors file that is no part of the model; a broken one is one more."""
    name = shown(entry.name)
    found = [
        finding(UNREAD_WEIGHTS, Level.NOTE, "no loader reads these weights, and they were not scanned", name)
    ]
    try:
        read_header(entry.path, entry.name)
    except CheckpointError as problem:
        found.append(refused(problem))
    return found


def _tensors_of(entry: FileEntry) -> dict[str, StoredTensor]:
    if entry.kind in PACKED:
        raise UnsafeCheckpoint(
            f"{shown(entry.name)} must be safetensors, its content is a {entry.kind.value}; ask for real safetensors",
            rule_id=DISGUISED_FILE,
            location=shown(entry.name),
        )
    return read_header(entry.path, entry.name)


def _sharded(entries: Mapping[str, FileEntry], index: Any) -> dict[str, StoredTensor]:
    table = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(table, dict) or not table or not all(isinstance(file, str) for file in table.values()):
        raise CheckpointError(f"{INDEX} must hold a weight_map of names to files; download it again")
    shards = sorted(set(table.values()))
    for shard in shards:
        if "/" in shard or "\\" in shard or shard.startswith(".") or not shard.endswith(".safetensors"):
            raise UnsafeCheckpoint(
                f"{INDEX} must name safetensors files beside it, got '{shown(shard)}'; ask for a repaired index",
                rule_id=INDEX_PATH,
                location=INDEX,
            )
        if shard not in entries:
            raise CheckpointError(
                f"{INDEX} names the shard {shown(shard)}, which is not in the folder; download that file"
            )
    tensors: dict[str, StoredTensor] = {}
    for shard in shards:
        held = _tensors_of(entries[shard])
        wrong = {name for name in held if table.get(name) != shard}
        missing = {name for name, file in table.items() if file == shard and name not in held}
        if wrong or missing:
            raise CheckpointError(
                f"{INDEX} and {shown(shard)} must agree, they differ on {listed(wrong | missing)}; "
                "download both again"
            )
        tensors.update(held)
    return tensors


def _no_weights(entries: Mapping[str, FileEntry]) -> CheckpointError | NothingScannable:
    top = {name: entry for name, entry in entries.items() if entry.top_level}
    stray = [name for name, entry in top.items() if entry.kind is Kind.SAFETENSORS]
    if any(SHARD.fullmatch(name) for name in stray):
        return CheckpointError(f"a sharded checkpoint needs its {INDEX}, there is none; download that file")
    if stray:
        return CheckpointError(
            f"loaders read {SINGLE} or {INDEX}, got only {listed(stray)}; rename the file if it holds the model"
        )
    if SINGLE in entries or any(name.endswith(".safetensors") for name in top):
        return CheckpointError("the safetensors file is empty or damaged; download it again")
    packed = {name: entry for name, entry in entries.items() if entry.kind in PACKED}
    if packed:
        return pickles_only(packed)
    other = [name for name, entry in entries.items() if entry.kind is Kind.OTHER_WEIGHTS]
    if other:
        return NothingScannable(
            f"weights must be safetensors, {listed(other)} is not scannable here; ask for the safetensors checkpoint"
        )
    return CheckpointError(
        f"a checkpoint needs its weights, got config.json without {SINGLE} or {INDEX}; download the weights"
    )


def pickles_only(packed: Mapping[str, FileEntry]) -> UnsafeCheckpoint:
    """The error for a checkpoint whose weights are pickles, with the dangerous globals named."""
    dangerous = dangerous_globals(packed)
    named = f" that names the dangerous globals {listed(dangerous)}" if dangerous else ""
    return UnsafeCheckpoint(
        f"weights must be safetensors, got only the pickle {listed(packed)}{named}; "
        "loading a pickle can run code, so ask for a safetensors checkpoint",
        rule_id=DANGEROUS_PICKLE if dangerous else PICKLE_FILE,
        location=shown(min(packed)),
    )
