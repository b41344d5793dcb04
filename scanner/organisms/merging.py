"""From an organism to a plain checkpoint folder: adapter folded in, no manifest beside it."""

from __future__ import annotations

from pathlib import Path

from ..checkpoint import open_adapter, open_checkpoint, write_merged


def merge(base: Path, adapter: Path, target: Path) -> Path:
    """Write the base with the adapter folded in to `target` and return it.

    Raises:
        BaseMismatch: the adapter belongs to another base.
    """
    checkpoint = open_checkpoint(base)
    write_merged(checkpoint, open_adapter(adapter, checkpoint), target)
    return target
