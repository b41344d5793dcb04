"""Reading a dictionary from disk, whatever public format it is in.

A format is a module with `NAME`, `recognises(path)` and `read(path)`; it is told by its content, not
by its name. `READERS` lists them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ..errors import CheckpointError
from . import saelens

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


READERS: tuple[Reader, ...] = (saelens,)


def read_sae(path: Path) -> SparseAutoencoder:
    """The sparse autoencoder at a path.

    Raises:
        CheckpointError: nothing there, no format that is read, or a damaged or unsupported dictionary.
    """
    if not path.exists():
        raise CheckpointError(f"an SAE must exist to be read, got {path}; check the path")
    for reader in READERS:
        if reader.recognises(path):
            return reader.read(path)
    names = ", ".join(reader.NAME for reader in READERS)
    raise CheckpointError(
        f"an SAE must be in one of the formats {names}, got {path}; "
        "pickled dictionaries are never opened, convert them to safetensors first"
    )
