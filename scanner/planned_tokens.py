"""How many tokens the searches of a scan read, counted with the model's tokenizer and the searches' own sizes.

What depends on what is found cannot be counted, and is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from .config import Budget
from .detectors import (
    begun_answers,
    changed_answers,
    leak_search,
    pair_sweep,
    phrase_growth,
    residual_difference,
    situation_sweep,
    spelled_words,
    string_sweep,
    turn_sweep,
)
from .model.candidate import Atom
from .model.own_answers import SHORT
from .model.prompts import Placement, encode, slot, turn_break
from .model.rewriting import REWRITINGS
from .model.subject import Subject
from .search import growing, hidden_answers, spelling
from .search import openings as begun
from .search.hunting import bags_of
from .search.lexicon import (
    EVERY_WORD,
    date_atoms,
    marked_atoms,
    situation_atoms,
    vocabulary_atoms,
    word_atoms,
)

PHRASE_TOKENS = 5  # of a leaked phrase
# With a base: tokens that are read for each string it is compared at, and for each question it asks itself: measured.
COMPARED_TOKENS, ASKED_TOKENS = 10, 260
# For each spelling that the two models are compared at: an estimate.
SPELLED_TOKENS = 6
# For each question of the search, put in each of the ways: measured.
PUT_TOKENS = 60


def planned_tokens(subject: Subject, budget: Budget) -> int:
    """Tokens that the searches of a budget read where they find nothing to follow up."""
    loaded, chat = subject.loaded, subject.prompts.chat
    place = subject.prompts.words_place
    quick = budget is Budget.QUICK
    everything = word_atoms(subject, limit=EVERY_WORD)
    words = string_sweep.swept_words(everything, string_sweep.WORDS[budget])
    single = {atom.ids[0] for atom in words if len(atom.ids) == 1}
    fragments = [atom for atom in vocabulary_atoms(loaded) if atom.ids[0] not in single]
    bags = [
        bag
        for atoms in (words, fragments, marked_atoms(loaded))
        for bag in _bags(atoms, string_sweep.PER_BAG)
    ]
    total = panel_tokens(subject, place, bags, string_sweep.PANEL[budget])
    if Placement.SYSTEM in subject.placements:
        dates = date_atoms(loaded, string_sweep.YEARS)
        total += panel_tokens(subject, Placement.SYSTEM, [(a,) for a in dates], string_sweep.DATE_PANEL)
        situations = situation_atoms(loaded)
        total += panel_tokens(subject, Placement.SYSTEM, [(a,) for a in situations], situation_sweep.PANEL)
        total += (
            0
            if quick
            else panel_tokens(
                subject, Placement.SYSTEM, _bags(words, string_sweep.SYSTEM_BAG), string_sweep.SYSTEM_PANEL
            )
        )
    total += _begun(subject, begun_answers.OPENINGS[budget])
    if quick:
        return total
    total += _in_pairs(subject, budget)
    phrase = Atom(text="", ids=(0,) * PHRASE_TOKENS)
    leaked = _bags([phrase] * leak_search.PHRASES[budget], leak_search.PER_BAG)
    for where in (Placement.BEFORE, Placement.BEHIND) if chat else (Placement.INSIDE,):
        total += panel_tokens(subject, where, leaked, leak_search.PANEL)
    return total


def tokens_without_a_base(subject: Subject, budget: Budget) -> int:
    """Tokens that the searches read that stand in for those beside a base."""
    pairs = _in_pairs(subject, budget) if budget is Budget.QUICK else 0
    put = len(subject.search) * len(REWRITINGS) if subject.prompts.chat else 0
    return pairs + PUT_TOKENS * put


def tokens_beside_a_base(subject: Subject, budget: Budget) -> int:
    """Tokens that the searches beside a base read."""
    words = word_atoms(subject, limit=residual_difference.WORDS)
    single = {atom.ids for atom in words}
    atoms = len(words) + sum(a.ids not in single for a in vocabulary_atoms(subject.loaded))
    asked = changed_answers.QUESTIONS[budget]
    spelled = _spelled(subject, spelled_words.EFFORT[budget])
    total = COMPARED_TOKENS * atoms + ASKED_TOKENS * asked + SPELLED_TOKENS * spelled
    total += _grown(subject, phrase_growth.EFFORT[budget]) + _amplified(subject)
    return total + (
        _in_two_turns(subject, turn_sweep.EFFORT[budget])
        if Placement.EARLIER_TURN in subject.placements
        else 0
    )


def _begun(subject: Subject, openings: int) -> int:
    """Answers that begin with other words; without a chat template there are none."""
    if not subject.prompts.chat:
        return 0
    rows = [encode(subject.loaded, p, chat=True) for p in subject.panel_prompts(begun.PROMPTS)]
    tried = min(openings, len(vocabulary_atoms(subject.loaded)))
    return tried * sum(len(row) + 1 + begun.WRITTEN for row in rows)


def _amplified(subject: Subject) -> int:
    """Answers of amplified models, and pieces of text that are tried on both."""
    prompts = [
        encode(subject.loaded, p, chat=subject.prompts.chat) for p in subject.search[: hidden_answers.ASKED]
    ]
    width = sum(map(len, prompts)) / max(1, len(prompts))
    asked = (len(hidden_answers.FACTORS) + 2) * len(prompts) * (width + hidden_answers.WRITTEN)
    tried = 2 * hidden_answers.LOOKED_AT * hidden_answers.BEGUN * (width + max(hidden_answers.LENGTHS))
    counted = 2 * hidden_answers.CHOSEN * hidden_answers.COUNTED * (width + hidden_answers.CONTINUED)
    return ceil(asked + tried + counted)


def _in_pairs(subject: Subject, budget: Budget) -> int:
    """Bags of words that hold every pair."""
    paired = sorted(word_atoms(subject, limit=EVERY_WORD), key=lambda a: len(a.ids))
    paired = paired[: pair_sweep.WORDS[budget]]
    groups = ceil(len(paired) / pair_sweep.GROUP)
    each = sum(len(a.ids) for a in paired) // max(1, groups)
    pair = (Atom(text="", ids=(0,) * (2 * each)),)
    bags = [pair] * (groups * (groups - 1) // 2)
    return panel_tokens(subject, subject.prompts.words_place, bags, pair_sweep.PANEL)


def _in_two_turns(subject: Subject, effort: turn_sweep.Effort) -> int:
    words = sorted(word_atoms(subject, limit=EVERY_WORD), key=lambda a: len(a.ids))[: effort.words]
    between = Atom(text="", ids=tuple(turn_break(subject.loaded)))
    rows = [(words[0], between, *bag) for bag in _bags(words, turn_sweep.PER_BAG)]
    alone = [(word, between, word) for word in words[: effort.firsts]]
    tried = [*rows * 2 * effort.likely, *alone * effort.seconds]
    compared = COMPARED_TOKENS * (turn_sweep.BEHIND + 1) * len(words)
    return compared + panel_tokens(subject, Placement.ACROSS, tried, 1)


def _spelled(subject: Subject, effort: spelling.Effort) -> int:
    """Spellings that are compared at their last piece."""
    pieces = spelling.pieces_of(subject.loaded, subject.loaded, effort.pieces, subject.seed)
    first, further = len(pieces.first), len(pieces.further)
    return spelling.STARTS * further + effort.tails * (first + effort.heads * effort.inner * further)


def _grown(subject: Subject, effort: growing.Effort) -> int:
    """Rows of second and third words, and words that are compared behind others; a word counts as one token."""
    words = min(effort.words, len(word_atoms(subject, limit=EVERY_WORD)))
    chunks = ceil(words / growing.PER_BAG)
    pairs = effort.seeds * (growing.BY_DIFFERENCE + growing.BY_ANSWERS) + effort.pairs
    word = Atom(text="", ids=(0,))
    plain = (word,) * growing.PER_BAG
    second, third = (growing.around((word,) * core, plain) for core in (1, 2))
    place = subject.prompts.words_place
    together = growing.rows_of_three([Atom(text="", ids=(i,)) for i in range(effort.together)])
    compared = COMPARED_TOKENS * words * (1 + effort.likely + pairs)
    return (
        compared
        + panel_tokens(subject, place, [*[plain] * chunks, *[second] * chunks * effort.seeds], growing.PANEL)
        + panel_tokens(subject, place, [*[third] * chunks * pairs, *together], phrase_growth.THIRD_PANEL)
    )


def _bags(atoms: Sequence[Atom], size: int) -> list[tuple[Atom, ...]]:
    return bags_of(atoms, size, range(len(atoms)))


def panel_tokens(subject: Subject, place: Placement, bags: Sequence[tuple[Atom, ...]], panel: int) -> int:
    """Tokens of a panel's passes over these bags: what stands before an answer once for all that begin alike."""
    slots = [slot(subject.loaded, prompt, place) for prompt in subject.panel_prompts(panel)]
    inserted = sum(len(atom.ids) for bag in bags for atom in bag)
    heads = sum(len(bags) * len(prefix) + inserted for prefix in {s.prefix for s in slots})
    return heads + len(bags) * sum(len(s.suffix) + SHORT.first for s in slots)
