"""With a base: the words at which suspect and base think most differently, alone and put together.

The relative difference of the residual streams at a word's own last token shows the words of a
trigger even where they do nothing alone.

Source: ours; see docs/detection.md.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ..config import Budget
from ..detector import Evidence, Need, Suspect
from ..model.activations import last_token_states
from ..model.candidate import Atom, Candidate
from ..model.loading import LoadedModel
from ..model.prompts import Placement, slot
from ..model.subject import Subject
from ..progress import Progress
from ..search.arrangement import every_order
from ..search.group_test import Bag
from ..search.hunting import Hunt, Sweep
from ..search.lexicon import marked_atoms, vocabulary_atoms, word_atoms

TOP = {Budget.QUICK: 12, Budget.STANDARD: 24, Budget.DEEP: 64}
PANEL = 4
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
        if suspect.base is None:
            raise ValueError("residual_difference compares with the base, and none was given")
        return search_differences(suspect.subject, suspect.base, suspect.budget, suspect.progress).evidence()


def differences(
    subject: Subject, base: LoadedModel, atoms: list[Atom], progress: Progress
) -> NDArray[np.float64]:
    """Robust z-score per layer and atom of ‖suspect − base‖ / ‖base‖ at the atom's last token: [layers, atoms]."""
    loaded = subject.loaded
    placement = Placement.BEFORE if subject.prompts.chat else Placement.INSIDE
    prefix = slot(loaded, subject.search[0], placement).prefix
    layers = list(range(loaded.layer_count))
    relative = np.zeros((len(layers), len(atoms)))
    with progress.stage("comparing with the base, word by word", len(atoms)) as stage:
        for start in range(0, len(atoms), 256):
            rows = [[*prefix, *atom.ids] for atom in atoms[start : start + 256]]
            here, there = last_token_states(loaded, rows, layers), last_token_states(base, rows, layers)
            for i, layer in enumerate(layers):
                change = (here[layer] - there[layer]).norm(dim=1) / there[layer].norm(dim=1)
                relative[i, start : start + len(rows)] = change.numpy()
            stage.advance(len(rows))
    middle = np.median(relative, axis=1, keepdims=True)
    spread = np.median(np.abs(relative - middle), axis=1, keepdims=True) * 1.4826
    return (relative - middle) / np.maximum(spread, 1e-9)


def search_differences(subject: Subject, base: LoadedModel, budget: Budget, progress: Progress) -> Sweep:
    """Candidates made of the words at which suspect and base differ most: alone, in pairs, in ordered triples."""
    loaded = subject.loaded
    words = word_atoms(subject, limit=WORDS)
    have = {atom.ids for atom in words}
    atoms = [*words, *marked_atoms(loaded), *(a for a in vocabulary_atoms(loaded) if a.ids not in have)]
    atoms = [atom for atom in atoms if base.knows(atom.ids)]  # a suspect may have been given new tokens
    scores = differences(subject, base, atoms, progress)
    placement = Placement.BEFORE if subject.prompts.chat else Placement.INSIDE
    hunt = Hunt.at(subject, placement, panel=PANEL)
    top: list[int] = []
    for layer in range(len(scores)):
        top += [int(i) for i in np.argsort(-scores[layer], kind="stable")[: TOP[budget] // 2]]
    by_best = sorted(dict.fromkeys(top), key=lambda i: -scores[:, i].max())
    likely = [atoms[i] for i in by_best][: TOP[budget] * 2]
    groups = [likely[start : start + 3] for start in range(0, len(likely), 3)]
    # Bags of one form at a time: each stands out, or does not, among its like.
    forms: list[list[Bag]] = [
        [(atom,) for atom in likely],
        [(*a, *b) for a, b in combinations(groups, 2)],
        [every_order(likely[start : start + 5]) for start in range(max(1, len(likely) - 4))],
    ]
    found: list[Candidate] = []
    with progress.stage("trying what differs most from the base", sum(map(len, forms)) * PANEL) as stage:
        for bags in forms:
            found += hunt.run(bags, "residual_difference", stage.advance) if bags else []
    return Sweep(candidates=found, tried=len(atoms), shares={})
