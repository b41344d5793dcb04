"""What a scan would do: what `--dry-run` says."""

from __future__ import annotations

from pydantic import Field

from .record import Record


class Plan(Record):
    """What a scan would look at, a line each."""

    lines: list[str] = Field(default_factory=list)
