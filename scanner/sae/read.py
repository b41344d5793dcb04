"""Reading a dictionary from disk, whatever public format it is in.

A format is a module with `NAME`, `recognises(path)` and `read(path)`; it is told by its content, not
by its name. `READERS` lists them all: those with a configuration of their own first.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from ..errors import CheckpointError
from .formats import (
    circuit_tracer,
    dictionary_learning,
    gemma_scope,
    gemma_scope_2,
    goodfire,
    llama_scope,
    llamascopium,
    openai,
    qwen_scope,
    saelens,
    sparsify,
)
from .formats.weights_file import only_file, open_weights, tensor_names

if TYPE_CHECKING:
    from pathlib import Path

    from .autoencoder import SparseAutoencoder


class Reader(Protocol):
    """One public format."""

    NAME: str

    def recognises(self, path: Path) -> bool:
        """Whether this looks like the format; never raises, never runs what it finds."""

    def read(self, path: Path) -> SparseAutoencoder:
        """The dictionary; CheckpointError where it is damaged or of an unsupported kind."""


READERS: tuple[Reader, ...] = (
    saelens,
    sparsify,
    llama_scope,
    llamascopium,
    gemma_scope,
    gemma_scope_2,
    dictionary_learning,
    qwen_scope,
    goodfire,
    openai,
    circuit_tracer,
)
CONTAINERS = ("*.safetensors", "*.npz", "*.pt", "*.pth")


def read_sae(path: Path) -> SparseAutoencoder:
    """The sparse autoencoder at a path: a folder, or the file of one layer.

    Raises:
        CheckpointError: nothing there, no format that is read, or a damaged or unsupported dictionary.
    """
    if not path.exists():
        raise CheckpointError(f"an SAE must exist to be read, got {path}; check the path")
    for reader in READERS:
        if reader.recognises(path):
            return replace(reader.read(path), format=reader.NAME)
    file = only_file(path, *CONTAINERS)
    if file is not None and not tensor_names(file):
        open_weights(file)  # says what is wrong with a damaged one
    names = ", ".join(reader.NAME for reader in READERS)
    raise CheckpointError(
        f"an SAE must be in one of the formats {names}, got {path}; "
        "where a folder holds several layers, give the file or folder of one"
    )
