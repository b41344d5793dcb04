"""Every JSON file of a folder: parsed inside bounds, and linted for what a loader would act on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import CheckpointError, UnsafeCheckpoint
from ..findings import Finding, Level
from .bounded_json import read_json
from .inventory import FileEntry, Refuse, stop
from .kinds import Kind
from .packed_files import PACKED
from .remote_code import lint
from .rules import DISGUISED_FILE, finding
from .weights import INDEX
from .wording import shown

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"
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


def read_documents(
    entries: Mapping[str, FileEntry], refuse: Refuse = stop
) -> tuple[dict[str, Any], list[Finding]]:
    """Every JSON file parsed and linted; the ones that loaders read must be sound.

    Args:
        refuse: told of every file that a loader reads and must not; if it returns, the next one follows.

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
        try:
            documents[name] = _document(entry, loaded=loaded)
        except CheckpointError as problem:
            if loaded:
                refuse(problem)
            else:
                message = f"not checked: {problem}"
                findings.append(finding(problem.rule_id, Level.WARNING, message, shown(name)))
            continue
        try:
            findings += _linted(documents[name], name, loaded=loaded)
        except CheckpointError as problem:
            refuse(problem)
    return documents, findings


def _document(entry: FileEntry, *, loaded: bool) -> Any:
    if loaded and entry.kind in (*PACKED, Kind.SAFETENSORS):
        raise UnsafeCheckpoint(
            f"{entry.name} must be JSON, its content is a {entry.kind.value}; download it again",
            rule_id=DISGUISED_FILE,
            location=entry.name,
        )
    return read_json(entry.path, entry.name)


def _linted(document: Any, name: str, *, loaded: bool) -> list[Finding]:
    if name in WORD_TABLES:
        return []
    if name == "tokenizer.json" and isinstance(document, dict):
        document = {key: value for key, value in document.items() if key not in ("model", "added_tokens")}
    return lint(document, name, loaded=loaded)
