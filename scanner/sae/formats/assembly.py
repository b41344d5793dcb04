"""The parts that a reader found, made a `SparseAutoencoder`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import CheckpointError
from ..autoencoder import SparseAutoencoder

if TYPE_CHECKING:
    from pathlib import Path


def assemble(path: Path, **parts: Any) -> SparseAutoencoder:
    """The dictionary, with the path as its source.

    Raises:
        CheckpointError: parts that do not fit together, in the words of `SparseAutoencoder`.
    """
    try:
        return SparseAutoencoder(source=str(path), **parts)
    except ValueError as problem:
        raise CheckpointError(f"{problem}: {path}") from problem
