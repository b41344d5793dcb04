"""Where a finding is, in SARIF's terms: files of the checkpoint, as addresses relative to its folder."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from ..findings import Manifest
from .escaping import cut

CHECKPOINT = "CHECKPOINT"  # the base that relative addresses refer to
FILES = 2_000
LONGEST = 500  # characters of a name; a longer one is none
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Code-scanning services want a full region even where a file has no lines.
_REGION = {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 1}


@dataclass(frozen=True, kw_only=True)
class Places:
    """The files of a result. `root` is the checkpoint's `file:` address, None where its path is relative."""

    root: str | None
    files: dict[str, str]
    weights: str
    numbers: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "numbers", {name: number for number, name in enumerate(self.files)})

    @classmethod
    def of(cls, manifest: Manifest) -> Places:
        """The places that a manifest names."""
        path = manifest.checkpoint
        absolute = path.startswith("/") and len(path) <= LONGEST
        files = {name: digest for name, digest in list(manifest.files.items())[:FILES] if address(name)}
        weights = (name for name in sorted(files) if name.endswith(".safetensors"))
        return cls(
            root=f"file://{_encoded(path.rstrip('/'))}/" if absolute else None,
            files=files,
            weights=next(weights, next(iter(sorted(files)), "model.safetensors")),
        )

    def artifacts(self) -> list[dict[str, Any]]:
        """Every file with its SHA-256."""
        found: list[dict[str, Any]] = []
        for name, digest in self.files.items():
            artifact: dict[str, Any] = {"location": self._address(name), "roles": ["analysisTarget"]}
            if _SHA256.fullmatch(digest):
                artifact["hashes"] = {"sha-256": digest}
            found.append(artifact)
        return found

    def location(self, name: str) -> dict[str, Any]:
        """The location of a finding; one about the model's behaviour is at its weights."""
        known = name if address(name) else self.weights
        place: dict[str, Any] = {
            "physicalLocation": {"artifactLocation": self._address(known), "region": dict(_REGION)}
        }
        if name and known is not name:
            place["message"] = {"text": cut(name, limit=200).replace("](", "] (")}
        return place

    def _address(self, name: str) -> dict[str, Any]:
        place: dict[str, Any] = {"uri": address(name), "uriBaseId": CHECKPOINT}
        if name in self.numbers:
            place["index"] = self.numbers[name]
        return place


def address(name: str) -> str | None:
    """A file name inside the folder as a relative address; None for one that leads anywhere else.

    >>> address("sub/model 1.safetensors"), address("../../etc/passwd"), address("https://x")
    ('sub/model%201.safetensors', None, 'https%3A/x')
    """
    path = PurePosixPath(name)
    if not name or len(name) > LONGEST or path.is_absolute() or ".." in path.parts or not path.parts:
        return None
    return _encoded(str(path))


def _encoded(path: str) -> str:
    return quote(path, safe="/", errors="replace")
