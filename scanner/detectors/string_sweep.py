"""Every vocabulary token and every known word, in bags, at several places of the prompt."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ..config import Budget
from ..detector import Evidence, Need, Suspect
from ..model.candidate import Atom
from ..model.prompts import Placement
from ..model.subject import Subject
from ..progress import Progress
from ..search.hunting import Hunt, Sweep, bags_of, beating_others
from ..search.lexicon import EVERY_WORD, date_atoms, marked_atoms, vocabulary_atoms, word_atoms

YEARS = range(2000, 2051)
PER_BAG = 12
PANEL = {Budget.QUICK: 9, Budget.STANDARD: 18, Budget.DEEP: 18}  # prompts on which every bag is tried
DATE_PANEL = 18  # the same for years, each by itself
SYSTEM_BAG, SYSTEM_PANEL = 24, 6  # the same for words in the system line
WORDS = {Budget.QUICK: 4_000, Budget.STANDARD: 8_000, Budget.DEEP: 40_000}


class StringSweep:
    """Single strings at a distance from the answer, in bags: the whole vocabulary, every known word, years."""

    name = "string_sweep"
    needs: frozenset[Need] = frozenset()
    uses: frozenset[Need] = frozenset()

    def examine(self, suspect: Suspect) -> Evidence:
        """The strings that wake something, alone."""
        return sweep_strings(suspect.subject, suspect.budget, suspect.progress).evidence()


def sweep_strings(subject: Subject, budget: Budget, progress: Progress) -> Sweep:
    """Single strings: the whole vocabulary, whole words, marked-up words, and years in the system line."""
    loaded, r = subject.loaded, random.Random(subject.seed)
    quick = budget is Budget.QUICK
    everything = word_atoms(subject, limit=EVERY_WORD)
    words = swept_words(everything, WORDS[budget])
    single = {atom.ids[0] for atom in words if len(atom.ids) == 1}
    fragments = [atom for atom in vocabulary_atoms(loaded) if atom.ids[0] not in single]
    marked = marked_atoms(loaded)
    bags = [
        bag
        for atoms in (words, fragments, marked)
        for bag in bags_of(atoms, PER_BAG, r.sample(range(len(atoms)), len(atoms)))
    ]
    result = Sweep()
    chat = subject.prompts.chat
    places: list[tuple[Placement, Sequence[tuple[Atom, ...]], str, int]] = [
        (subject.prompts.words_place, bags, "string_sweep", PANEL[budget])
    ]
    if Placement.SYSTEM in subject.placements:
        dates = date_atoms(loaded, YEARS)
        places.append((Placement.SYSTEM, [(atom,) for atom in dates], "date_sweep", DATE_PANEL))
        if not quick:
            whole = bags_of(words, SYSTEM_BAG, r.sample(range(len(words)), len(words)))
            places.append((Placement.SYSTEM, whole, "string_sweep", SYSTEM_PANEL))
    for placement, chosen, name, width in places:
        hunt = Hunt.at(subject, placement, panel=width, kinds=chat and width >= 9)
        with progress.stage(
            f"sweeping strings, {placement.value.replace('_', ' ')}", len(chosen) * width
        ) as stage:
            found = hunt.run(chosen, name, stage.advance)
        if name == "date_sweep":
            found = [beating_others(candidate, dates, subject.seed) for candidate in found]
        result.candidates += found
        result.tried += sum(len(bag) for bag in chosen)
    alone = {atom.ids[0] for bag in bags for atom in bag if len(atom.ids) == 1}
    ordinary = vocabulary_atoms(loaded)
    result.shares = {
        "vocabulary tokens": sum(a.ids[0] in alone for a in ordinary) / max(1, len(ordinary)),
        "known words": len(words) / max(1, len(everything)),
    }
    return result


def swept_words(everything: Sequence[Atom], limit: int) -> list[Atom]:
    """The first words up to the limit, and as many of several tokens as make up half of it.

    A large vocabulary alone fills the limit, and its words are swept as tokens anyway.
    """
    words = list(everything[:limit])
    several = [atom for atom in everything[limit:] if len(atom.ids) > 1]
    return words + several[: max(0, limit // 2 - sum(len(atom.ids) > 1 for atom in words))]
