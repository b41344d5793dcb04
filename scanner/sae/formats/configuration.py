"""The JSON object beside the weights, and the entries that several formats share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ...errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LARGEST_CONFIG = 1 << 20  # bytes; real ones have a few thousand
LARGEST_NUMBER = 1 << 40  # of any count or norm; JSON has numbers that no float holds


def load_config(path: Path) -> dict[str, Any]:
    """The JSON object in the file.

    Raises:
        CheckpointError: no JSON object, or one too large to be a configuration.
    """
    try:
        if path.stat().st_size > LARGEST_CONFIG:
            raise CheckpointError(f"an SAE configuration must have at most {LARGEST_CONFIG} bytes: {path}")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        raise CheckpointError(
            f"an SAE configuration must be readable JSON, got {path}: {problem}"
        ) from problem
    if not isinstance(found, dict):
        raise CheckpointError(
            f"an SAE configuration must be a JSON object, got {type(found).__name__}: {path}"
        )
    return found


def config_keys(path: Path) -> frozenset[str]:
    """The keys of the configuration, none where it is missing or damaged; never raises."""
    try:
        return frozenset(load_config(path)) if path.is_file() else frozenset()
    except CheckpointError:
        return frozenset()


def whole_number(name: str, value: object, path: Path) -> int:
    """The value, once it is a whole number of at least 1.

    Raises:
        CheckpointError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST_NUMBER:
        raise CheckpointError(f"{name} must be a whole number of at least 1, got {value!r}: {path}")
    return value


def positive_number(name: str, value: object, path: Path) -> float:
    """The value, once it is a finite number above 0.

    Raises:
        CheckpointError: it is not.
    """
    number = plain_number(value)
    if number is None:
        raise CheckpointError(f"{name} must be a finite number above 0, got {value!r}: {path}")
    return number


def plain_number(value: object) -> float | None:
    """The value where it is a positive number, else None: for entries that only inform."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LARGEST_NUMBER:
        return None
    return float(value)


def text(config: Mapping[str, Any], *names: str) -> str:
    """The first of these entries that is a text, "" where none is."""
    return next((config[name] for name in names if isinstance(config.get(name), str)), "")
