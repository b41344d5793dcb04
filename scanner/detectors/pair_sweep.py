"""All unordered pairs of words, many pairs in every bag."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import combinations

from ..config import Budget
from ..detector import Evidence, Need, Suspect
from ..model.candidate import Atom
from ..model.subject import Subject
from ..progress import Progress
from ..search.group_test import Bag
from ..search.hunting import Hunt, Sweep
from ..search.lexicon import EVERY_WORD, word_atoms

GROUP = 18  # words in a group; a bag is two groups
WORDS = {Budget.QUICK: 1_400, Budget.STANDARD: 1_400, Budget.DEEP: 4_000}
PANEL = 3


class PairSweep:
    """Pairs of words that may do nothing alone."""

    name = "pair_sweep"
    needs: frozenset[Need] = frozenset()
    uses: frozenset[Need] = frozenset()

    def examine(self, suspect: Suspect) -> Evidence:
        """The pairs that wake something."""
        return sweep_pairs(suspect.subject, suspect.budget, suspect.progress).evidence()


def sweep_pairs(subject: Subject, budget: Budget, progress: Progress) -> Sweep:
    """Pairs of whole words, those of the fewest tokens first.

    What makes prompts go on alike is looked for, and what displaces the answers to all of them: amid 36 words nothing but a
    trigger does.
    """
    everything = word_atoms(subject, limit=EVERY_WORD)
    everything.sort(key=lambda atom: len(atom.ids))
    words = everything[: WORDS[budget]]
    result = Sweep()
    if len(words) < 2:
        return result
    placement = subject.prompts.words_place
    bags = list(pair_cover(words, GROUP, random.Random(subject.seed)))
    hunt = Hunt.at(subject, placement, panel=PANEL, everywhere=float(subject.prompts.chat))
    with progress.stage("sweeping pairs of words", len(bags) * PANEL) as stage:
        result.candidates = hunt.run(bags, "pair_sweep", stage.advance)
    pairs = len(words) * (len(words) - 1) // 2
    result.tried = pairs
    result.shares = {"pairs of known words": pairs / max(1, len(everything) * (len(everything) - 1) // 2)}
    return result


def pair_cover(words: Sequence[Atom], group: int, r: random.Random) -> Iterator[Bag]:
    """Bags of two groups each, such that every unordered pair of words stands in at least one bag."""
    order = r.sample(range(len(words)), len(words))
    groups = [[words[i] for i in order[start : start + group]] for start in range(0, len(order), group)]
    if len(groups) == 1:
        yield tuple(groups[0])
    for a, b in combinations(groups, 2):
        yield tuple(r.sample([*a, *b], len(a) + len(b)))
