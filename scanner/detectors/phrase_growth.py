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
from ..progress import Progress
from ..search.group_test import Bag
from ..search.growing import PER_BAG, Effort, around, in_chunks, likely_pairs, shaken
from ..search.hunting import Hunt, Sweep
from ..search.lexicon import EVERY_WORD, word_atoms

EFFORT = {
    Budget.STANDARD: Effort(words=1_400, seeds=4, likely=12, pairs=8),
    Budget.DEEP: Effort(words=8_000, seeds=24, likely=48, pairs=96),
}
THIRD_PANEL = 1  # prompts on which third words are tried: there the whole behaviour appears
HUNTED = 3  # rows of third words of each pair that go on to the hunt
HUNT_PANEL = 9


class PhraseGrowth:
    """Phrases of three words, grown along the differences to the base; nothing is tried with the budget `quick`."""

    name = "phrase_growth"
    needs: frozenset[Need] = frozenset({Need.BASE})
    uses: frozenset[Need] = frozenset()

    def examine(self, suspect: Suspect) -> Evidence:
        """The phrases that wake something.

        Raises:
            ValueError: the suspect comes without its base.
        """
        base = suspect.base_for(self.name)
        effort = EFFORT.get(suspect.budget)
        if effort is None:
            return Evidence(score=0.0)
        words = phrase_words(suspect.subject, base, effort.words)
        return grow_phrases(suspect.subject, base, words, effort, suspect.progress).evidence()


def phrase_words(subject: Subject, base: LoadedModel, count: int) -> list[Atom]:
    """Whole words that both models know, those of the fewest tokens, in random order."""
    words = sorted(word_atoms(subject, limit=EVERY_WORD), key=lambda atom: len(atom.ids))
    words = [atom for atom in words if base.knows(atom.ids)][:count]
    random.Random(subject.seed).shuffle(words)
    return words


def grow_phrases(
    subject: Subject, base: LoadedModel, words: Sequence[Atom], effort: Effort, progress: Progress
) -> Sweep:
    """Pairs of words that the differences to the base single out, and every third word before and behind them."""
    if len(words) < PER_BAG:
        return Sweep()
    placement = subject.prompts.words_place
    pairs = likely_pairs(subject, base, words, effort, placement, progress)
    chunks = in_chunks(words)
    panel = Panel(subject.own, subject.panel_prompts(THIRD_PANEL), placement, answer_tokens=1)
    hunted: list[Bag] = []
    with progress.stage("growing phrases, third word", len(pairs) * len(chunks) * THIRD_PANEL) as stage:
        for pair in pairs:  # each by itself: some shake the answers with whatever word
            bags = [around(pair, chunk) for chunk in chunks]
            order = np.argsort(-shaken(panel, bags, stage.advance), kind="stable")
            hunted += [bags[int(i)] for i in order[:HUNTED]]
    hunt = Hunt.at(subject, placement, panel=HUNT_PANEL)
    with progress.stage("trying grown phrases", len(hunted) * HUNT_PANEL) as stage:
        found = hunt.run(hunted, PhraseGrowth.name, stage.advance)
    return Sweep(candidates=found, tried=2 * len(pairs) * len(words))
