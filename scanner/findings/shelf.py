"""The result of a scan of several checkpoints with the same settings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .record import Record, Verdict
from .result import ScanResult


class Failure(Record):
    """Why a checkpoint has no result.

    Attributes:
        kind: the error's own name, e.g. `UnsafeCheckpoint`; empty for one that is none of ours.
        exit_code: what a scan of this checkpoint alone exits with.
        traceback: of an error that is none of ours; for the caller's eyes, in no file.
    """

    kind: str
    message: str
    exit_code: int
    rule_id: str = ""
    location: str = ""
    traceback: str = Field(default="", exclude=True)


class ShelfEntry(Record):
    """One checkpoint of a shelf: it has a result or a failure.

    Attributes:
        name: the folder's name, with as many folders above it as tell it from the others.
        seconds: from the beginning of its scan to its end.
        losses: how workers were lost that had begun it; it was begun again each time.
    """

    name: str
    checkpoint: str
    result: ScanResult | None = None
    failure: Failure | None = None
    seconds: float
    losses: list[str] = Field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        """The result's, or the one that remains beside a baseline; `incomplete` where there is none."""
        if self.result is None:
            return Verdict.INCOMPLETE
        return self.result.remaining or self.result.verdict


class ShelfResult(Record):
    """What a scan of several checkpoints found; `schema_version` 1. Entries stand in the order in which they were given.

    Attributes:
        verdicts: how many checkpoints have each verdict; those without a result count as `failed`.
        engine: where the scans ran.
        workers: scans at a time.
        seconds: for the whole shelf.
    """

    schema_version: Literal[1] = 1
    kind: Literal["shelf"] = "shelf"
    entries: list[ShelfEntry]
    verdicts: dict[str, int]
    base: str | None = None
    engine: str = "local"
    workers: int = 1
    seconds: float
    command_line: str = ""
    started: str = ""

    def to_json(self) -> str:
        """The result as JSON text with a stable key order."""
        return self.model_dump_json(indent=2)
