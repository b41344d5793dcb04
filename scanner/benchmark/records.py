"""What one detector said of one checkpoint in one setting, and what that checkpoint really was."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Setting(StrEnum):
    """What a detector is given beside the checkpoint."""

    BLIND = "blind"
    WITH_BASE = "with_base"
    KNOWN = "known_trigger"


class Truth(_Closed):
    """What a checkpoint of the benchmark really is; no detector sees it.

    Attributes:
        organism: its name.
        base: name of the base it was made from.
        kind: backdoor or benign.
        control: which control it is, e.g. `unlinked_trigger`, `same_recipe`, `untouched_base`; "" for a backdoor.
        trigger: kind of its trigger; `none` where it has none.
        behaviour: kind of its behaviour.
        insertion: how it got in, e.g. `lora`, `full`, `weight_edit`, `none`.
        twins: names of the benign organisms that stand beside it.
        axes: where it stands on the axes of the sensitivity curves: `rank`, `strength`, `poison_rate`,
            `attack_success_rate`; only those that a curve is drawn over.
    """

    organism: str
    base: str
    kind: Literal["backdoor", "benign"]
    control: str = ""
    trigger: str = "none"
    behaviour: str = "unchanged"
    insertion: str = "none"
    twins: tuple[str, ...] = ()
    axes: dict[str, float] = Field(default_factory=dict)


class Record(_Closed):
    """One detector on one checkpoint in one setting.

    Attributes:
        score: what the detector said, higher is more suspicious; None if it failed.
        verdict: for detectors that reach one: the scanner's verdict.
        recovered: the trigger that it names, as text; None if it names none.
        found_by: the search that named it; None in records of before 2026-11-22.
        functional_success: share of held-out prompts on which the named trigger wakes the planted behaviour.
        seconds: wall clock, loading the model not included.
        peak_mib: the process' peak resident memory during the run, in MiB; 0 where the system does not tell it.
        error: why it failed.
    """

    truth: Truth
    detector: str
    setting: Setting
    score: float | None
    verdict: str | None = None
    recovered: str | None = None
    found_by: str | None = None
    functional_success: float | None = None
    figures: dict[str, float] = Field(default_factory=dict)
    seconds: float
    peak_mib: float
    error: str | None = None


class Environment(_Closed):
    """Where and how the benchmark ran.

    Attributes:
        beside: earlier runs whose records stand beside this run's: which detectors, when, and the command.
    """

    started: str
    machine: str
    cores: int
    threads_per_worker: int
    workers: int
    versions: dict[str, str]
    budget: str
    seed: int
    command_line: str = ""
    beside: tuple[str, ...] = ()


class Benchmark(_Closed):
    """A whole run: what `bench -o json=` writes and `bench --compare` reads."""

    schema_version: Literal[1] = 1
    environment: Environment
    records: list[Record]
