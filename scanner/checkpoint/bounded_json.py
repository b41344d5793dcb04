"""JSON from untrusted files: bounded in size and depth, and with no key said twice.

Parsers differ in which of two equal keys they keep, so a file with such a pair can show one thing
to a scanner and another to a loader.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from .rules import DUPLICATE_KEY
from .wording import shown

MAX_BYTES = 128 * 2**20
MAX_DEPTH = 64


class DuplicateKey(ValueError):
    """An object says the same key twice."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise DuplicateKey(f"the key '{shown(key)}' stands twice in one object")
            seen.add(key)
    return result


def parse(text: bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """The value that UTF-8 JSON text stands for.

    Raises:
        ValueError: not UTF-8, not JSON, nested deeper than `max_depth`, or a key said twice.
    """
    try:
        value = json.loads(text.decode("utf-8-sig"), object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError(f"nested deeper than {max_depth} levels") from None
    level = [value]
    for _ in range(max_depth + 1):
        level = [
            child
            for node in level
            if isinstance(node, (dict, list))
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return value
    raise ValueError(f"nested deeper than {max_depth} levels")


def read_json(path: Path, name: str, *, max_bytes: int = MAX_BYTES) -> Any:
    """The value in a JSON file; `name` is what messages call it.

    Raises:
        CheckpointError: the file is too large, a key is said twice, or `parse` refuses it.
    """
    size = path.stat().st_size
    if size > max_bytes:
        raise CheckpointError(
            f"a JSON file may have {max_bytes} bytes, {shown(name)} has {size}; download the checkpoint again",
            location=shown(name),
        )
    try:
        return parse(path.read_bytes())
    except DuplicateKey as problem:
        raise CheckpointError(
            f"{shown(name)} is not valid JSON: {shown(problem)}, and readers differ in which of the two they keep; "
            "download the checkpoint again",
            rule_id=DUPLICATE_KEY,
            location=shown(name),
        ) from None
    except ValueError as problem:
        raise CheckpointError(
            f"{shown(name)} is not valid JSON: {shown(problem)}; download the checkpoint again",
            location=shown(name),
        ) from None


def read_object(path: Path, name: str, *, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """The object in a JSON file; anything else in it is a CheckpointError."""
    value = read_json(path, name, max_bytes=max_bytes)
    if not isinstance(value, dict):
        raise CheckpointError(
            f"{shown(name)} must hold a JSON object, got a {type(value).__name__}; download the checkpoint again"
        )
    return value
