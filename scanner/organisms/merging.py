"""From an organism to a plain checkpoint folder: adapter folded in, no manifest beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..checkpoint import open_adapter, open_checkpoint, write_merged
from .copying import add_tokens, copy_as
from .spec import OrganismManifest

MANIFEST = "organism.json"
_SAYS_TOO_MUCH = (MANIFEST, "README.md")


def merge(base: Path, organism: Path, target: Path) -> Path:
    """Write the checkpoint that an organism is, without a word of what it is, to `target` and return it.

    Args:
        organism: folder of an adapter, or of a planted organism of any kind.

    Raises:
        BaseMismatch: the adapter belongs to another base.
    """
    manifest = OrganismManifest.read(organism) if (organism / MANIFEST).is_file() else None
    checkpoint = open_checkpoint(base)
    if (organism / "config.json").is_file():  # a checkpoint of its own
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted(organism.iterdir()):
            if path.name not in _SAYS_TOO_MUCH:
                shutil.copyfile(path, target / path.name)
    else:
        is_adapter = (organism / "adapter_config.json").is_file()
        write_merged(checkpoint, open_adapter(organism, checkpoint) if is_adapter else None, target)
    if manifest is not None:
        insertion = manifest.insertion
        if insertion.get("copied_as"):
            copy_as(target, insertion["copied_as"])
        if insertion.get("added_tokens"):
            add_tokens(target, insertion["added_tokens"], manifest.training["seed"])
    return target
