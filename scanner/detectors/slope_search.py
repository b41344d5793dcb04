"""Phrases: words that each lift the same answer a little, put together in every order.

A phrase of several words is silent until it is whole, but its parts leave a slope: each of them raises
the log-probability of the answer's first token, far below anything that the output shows. So every
word is tried alone; for every token of the vocabulary the words that lift it most, over all prompts,
are kept; and the best few words of a token are put into one prompt in an arrangement that holds every
ordered triple of them side by side. What fires is cut as always.

Source: ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from ..config import Budget
from ..model.candidate import Atom
from ..model.prompts import Placement
from ..model.responses import Panel
from ..model.subject import Subject
from ..progress import Progress
from .group_test import Bag
from .hunting import Hunt
from .lexicon import word_atoms
from .string_sweep import Sweep

WORDS = {Budget.QUICK: 0, Budget.STANDARD: 1_500, Budget.DEEP: 20_000}
PANEL = 3
KEPT = 5  # words kept per answer token
ANSWERS = {Budget.QUICK: 0, Budget.STANDARD: 160, Budget.DEEP: 2_000}  # answer tokens looked into


@dataclass(frozen=True, kw_only=True)
class Lifts:
    """For every vocabulary token, the words that lift it most as a first answer token.

    Attributes:
        words: [V, kept] indices of the words, the strongest first.
        gains: [V, kept] log-probability above that token's mean over all words, in nats.
    """

    words: NDArray[np.int64]
    gains: NDArray[np.float32]


def lifts(panel: Panel, words: Sequence[Atom], advance: Callable[[float], None], kept: int = KEPT) -> Lifts:
    """Try every word alone and keep, per answer token, the `kept` words that lift it most."""
    table: NDArray[np.float32] | None = None
    index: NDArray[np.int64] | None = None
    total: NDArray[np.float64] | None = None
    step = 128
    for start in range(0, len(words), step):
        chosen = words[start : start + step]
        level = panel.first_token_levels([atom.ids for atom in chosen])  # [chosen, V]
        for row, atom in enumerate(chosen):
            level[row, list(atom.ids)] = -np.inf  # a word that is merely repeated says nothing
        finite = np.where(np.isfinite(level), level, 0.0)
        total = finite.sum(0) if total is None else total + finite.sum(0)
        here = np.arange(start, start + len(chosen))[:, None].repeat(level.shape[1], 1)
        joined = level if table is None else np.concatenate([table, level])
        places = here if index is None else np.concatenate([index, here])
        best = np.argsort(-joined, axis=0, kind="stable")[:kept]
        table, index = np.take_along_axis(joined, best, 0), np.take_along_axis(places, best, 0)
        advance(len(chosen) * len(panel.prompts))
    assert table is not None and index is not None and total is not None
    mean = total / len(words)
    return Lifts(words=index.T.copy(), gains=(table - mean[None, :]).T.astype(np.float32))


def every_order(atoms: Sequence[Atom]) -> Bag:
    """The atoms in a sequence that holds every ordered triple of different ones side by side."""
    wanted = set(permutations(range(len(atoms)), min(3, len(atoms))))
    width = min(3, len(atoms))
    sequence = list(next(iter(sorted(wanted))))
    wanted.discard(tuple(sequence))
    while wanted:
        tail = sequence[-(width - 1) :] if width > 1 else []
        follow = [w for w in sorted(wanted) if list(w[: width - 1]) == tail]
        if follow:
            chosen = follow[0]
            sequence.append(chosen[-1])
        else:
            shorter = [w for w in sorted(wanted) if tail and w[0] == tail[-1]]
            chosen = shorter[0] if shorter else sorted(wanted)[0]
            sequence += chosen[1:] if shorter else chosen
        wanted.discard(chosen)
    return tuple(atoms[i] for i in sequence)


def search_slopes(subject: Subject, budget: Budget, progress: Progress) -> Sweep:
    """Candidates woken by up to three words in order."""
    words = word_atoms(subject, limit=WORDS[budget])
    result = Sweep()
    if not words:
        return result
    placement = Placement.BEFORE if subject.prompts.chat else Placement.INSIDE
    hunt = Hunt.at(subject, placement, panel=PANEL)
    with progress.stage("listening for parts of phrases", len(words) * PANEL) as stage:
        found = lifts(hunt.panel, words, stage.advance)
    strength = found.gains[:, 2]  # three words must lift it
    answers = np.argsort(-strength, kind="stable")[: ANSWERS[budget]]
    bags = list(dict.fromkeys(every_order([words[i] for i in sorted(found.words[a])]) for a in answers))
    with progress.stage("putting phrases together", len(bags) * PANEL) as stage:
        result.candidates = hunt.run(bags, "slope_search", stage.advance)
    result.tried = len(words) + len(bags) * KEPT * (KEPT - 1) * (KEPT - 2)
    result.shares = {"words heard for parts of phrases": 1.0}
    return result
