"""A stated success rate beside the same rate measured again: what `replay` returns."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from ..findings import Record, ScanResult, Trigger
from .share import Share


class Replay(Record):
    """A trigger of a result, measured again on prompts and random strings that the scan never used.

    Attributes:
        number: which trigger of the result, counted from 1.
        prompts: how many fresh prompts.
        success: with the trigger.
        control: with random strings of the same length.
        base: with the trigger in the base; None without a base.
    """

    number: int
    trigger: Trigger
    prompts: int
    success: Share
    control: Share
    base: Share | None

    @property
    def holds(self) -> bool:
        """Whether the stated rate stands: the intervals overlap, and it beats random strings now as then."""
        stated, now = self.trigger.attack_success_interval, self.success.interval
        beats = now[0] > self.control.interval[1]
        return now[0] <= stated[1] and stated[0] <= now[1] and beats is self.trigger.gate.beats_random


class ReplayRequest(Record):
    """What is to be measured again.

    Attributes:
        numbers: which triggers, counted from 1; all of them without any.
        checkpoint: where the checkpoint lies now; without it, where it lay when it was scanned.
        prompts: fresh prompts of one's own, one a line.
    """

    result: ScanResult
    numbers: list[int] = Field(default_factory=list)
    checkpoint: Path | None = None
    prompts: Path | None = None


class Replays(Record):
    """Triggers measured again, in the order in which they were asked for."""

    replays: list[Replay]
