"""With a base: phrases grown word by word, each step chosen by what suspect and base differ in."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from ..config import Budget
from ..detector import Evidence, Need, Suspect
from ..model.candidate import Atom
from ..model.loading import LoadedModel
from ..model.responses import Panel
from ..model.subject import Subject
from ..progress import Progress, Silent
from ..search.differences import differences
from ..search.growing import (
    PER_BAG,
    Effort,
    around,
    highest,
    in_chunks,
    likely_pairs,
    rows_of_three,
    shaken,
)
from ..search.hunting import Sweep
from ..search.lexicon import EVERY_WORD, word_atoms
from ..search.narrowing import furthest, hunt_furthest

EFFORT = {
    Budget.QUICK: Effort(words=1_400, seeds=2, likely=4, pairs=2, together=32),
    Budget.STANDARD: Effort(words=1_400, seeds=4, likely=12, pairs=8, together=48),
    Budget.DEEP: Effort(words=8_000, seeds=24, likely=48, pairs=96, together=96),
}
THIRD_PANEL = 1  # prompts on which whole phrases are tried: there the behaviour itself appears
BEHIND = 24  # third words of a pair, by how differently the models think of them behind it, whose phrases are tried
MOST = (
    2 / 3
)  # of the prompts whose answers a phrase displaces: refusals stay refusals, and long answers are not read whole
ROWS = 3  # rows of third words of each pair whose phrases are tried one by one
TOGETHER_ROWS = 16  # rows of likely words alone whose phrases are


class PhraseGrowth:
    """Phrases of three words, grown along the differences to the base."""

    name = "phrase_growth"
    needs: frozenset[Need] = frozenset({Need.BASE})
    uses: frozenset[Need] = frozenset()

    def examine(self, suspect: Suspect) -> Evidence:
        """The phrases that wake something.

        Raises:
            ValueError: the suspect comes without its base.
        """
        base = suspect.base_for(self.name)
        effort = EFFORT[suspect.budget]
        known = known_words(suspect.subject, base)
        words = known[: effort.words]
        random.Random(suspect.subject.seed).shuffle(words)
        sweep = grow_phrases(suspect.subject, base, words, effort, suspect.progress)
        sweep.shares["words that phrases were grown from"] = len(words) / max(1, len(known))
        return sweep.evidence()


def known_words(subject: Subject, base: LoadedModel) -> list[Atom]:
    """Whole words that both models know, those of the fewest tokens first."""
    words = sorted(word_atoms(subject, limit=EVERY_WORD), key=lambda atom: len(atom.ids))
    return [atom for atom in words if base.knows(atom.ids)]


def grow_phrases(
    subject: Subject, base: LoadedModel, words: Sequence[Atom], effort: Effort, progress: Progress
) -> Sweep:
    """Phrases of three of the likeliest words; pairs that the differences to the base single out, and every third word."""
    if len(words) < PER_BAG:
        return Sweep()
    placement = subject.prompts.words_place
    alone = differences(subject, base, words, progress)
    panel = Panel(subject.own, subject.panel_prompts(THIRD_PANEL), placement)
    together = rows_of_three(
        [words[int(i)] for i in np.argsort(-alone.max(axis=0), kind="stable")[: effort.together]]
    )
    with progress.stage("growing phrases, likely words", len(together) * THIRD_PANEL) as stage:
        moved = shaken(panel, together, stage.advance)
    rows = furthest(together, moved, TOGETHER_ROWS)
    pairs = likely_pairs(subject, base, words, alone, effort, placement, progress)
    chunks = in_chunks(words)
    with progress.stage("growing phrases, third word", len(pairs) * len(chunks) * THIRD_PANEL) as stage:
        for pair in pairs:  # each by itself: some shake the answers with whatever word
            around_pair = [around(pair, chunk) for chunk in chunks]
            rows += furthest(around_pair, shaken(panel, around_pair, stage.advance), ROWS)
            behind = differences(
                subject, base, words, Silent(), behind=[t for word in pair for t in word.ids]
            )
            rows += [(*pair, words[i]) for i in highest(behind, BEHIND)]
    phrases = list(dict.fromkeys(row[at : at + 3] for row in rows for at in range(len(row) - 2)))
    with progress.stage("trying grown phrases", len(phrases) * THIRD_PANEL) as stage:
        moved = shaken(panel, phrases, stage.advance)
    found = hunt_furthest(subject, placement, phrases, moved, PhraseGrowth.name, everywhere=MOST)
    tried = 2 * len(together) * PER_BAG + 2 * len(pairs) * len(words)
    return Sweep(candidates=found, tried=tried)
