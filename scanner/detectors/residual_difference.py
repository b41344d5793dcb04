"""With a base: the words at which suspect and base think most differently, alone and put together.

The relative difference of the residual streams at a word's own last token shows the words of a
trigger even where they do nothing alone.

Source: ours; see docs/detection.md.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np

from ..config import Budget
from ..detector import Evidence, Need, Suspect
from ..model.candidate import Candidate
from ..model.loading import LoadedModel
from ..model.subject import Subject
from ..progress import Progress
from ..search.arrangement import every_order
from ..search.differences import differences
from ..search.group_test import Bag
from ..search.hunting import Hunt, Sweep
from ..search.lexicon import marked_atoms, vocabulary_atoms, word_atoms

TOP = {Budget.QUICK: 12, Budget.STANDARD: 24, Budget.DEEP: 64}
PANEL = 4
KINDS_PANEL = 9  # prompts, for short bags: in long ones the answers to some kind always yield
MOST = (
    2 / 3
)  # of the prompts whose answers a pair displaces: refusals stay refusals, and long answers are not read whole
PAIRED = 24  # words of which every pair is heard kind by kind, by itself: a word in many bags would make a kind restless
WORDS = 8_000


class ResidualDifference:
    """The strings at which suspect and base think most differently, alone and put together."""

    name = "residual_difference"
    needs: frozenset[Need] = frozenset({Need.BASE})
    uses: frozenset[Need] = frozenset()

    def examine(self, suspect: Suspect) -> Evidence:
        """Candidates made of those strings.

        Raises:
            ValueError: the suspect comes without its base.
        """
        base = suspect.base_for(self.name)
        return search_differences(suspect.subject, base, suspect.budget, suspect.progress).evidence()


def search_differences(subject: Subject, base: LoadedModel, budget: Budget, progress: Progress) -> Sweep:
    """Candidates made of the words at which suspect and base differ most: alone, in pairs, in ordered triples."""
    loaded = subject.loaded
    words = word_atoms(subject, limit=WORDS)
    have = {atom.ids for atom in words}
    atoms = [*words, *marked_atoms(loaded), *(a for a in vocabulary_atoms(loaded) if a.ids not in have)]
    atoms = [atom for atom in atoms if base.knows(atom.ids)]  # a suspect may have been given new tokens
    scores = differences(subject, base, atoms, progress)
    placement = subject.prompts.words_place
    few = Hunt.at(subject, placement, panel=PANEL)
    each_kind, pairs = few, few
    if subject.prompts.chat:
        each_kind = Hunt.at(subject, placement, panel=KINDS_PANEL, kinds=True)
        pairs = replace(each_kind, everywhere=MOST)
    best = scores.max(axis=0)
    top = [int(i) for i in np.argsort(-best, kind="stable")[: TOP[budget] * 2]]
    for layer in range(len(scores)):
        top += [int(i) for i in np.argsort(-scores[layer], kind="stable")[: TOP[budget] // 2]]
    likely = [atoms[i] for i in sorted(dict.fromkeys(top), key=lambda i: -best[i])]
    groups = [likely[start : start + 3] for start in range(0, len(likely), 3)]
    # Bags of one form at a time: each stands out, or does not, among its like.
    forms: list[tuple[Hunt, list[Bag]]] = [
        (each_kind, [(atom,) for atom in likely]),
        (pairs, [(a, b) for a, b in combinations(likely[:PAIRED], 2)]),
        (few, [(*a, *b) for a, b in combinations(groups, 2)]),
        (few, [every_order(likely[start : start + 5]) for start in range(max(1, len(likely) - 4))]),
    ]
    rows = sum(len(bags) * len(hunt.panel.prompts) for hunt, bags in forms)
    found: list[Candidate] = []
    with progress.stage("trying what differs most from the base", rows) as stage:
        for hunt, bags in forms:
            found += hunt.run(bags, "residual_difference", stage.advance) if bags else []
    return Sweep(candidates=found, tried=len(atoms), shares={})
