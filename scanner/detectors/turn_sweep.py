"""With a base: two words in two turns. One of them stands out by its difference to the base, the other is looked for."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..config import Budget
from ..detector import Evidence, Need, Suspect
from ..model.candidate import Atom
from ..model.loading import LoadedModel
from ..model.own_answers import FIRST_TOKEN
from ..model.prompts import BREAK, Placement, turn_break
from ..model.responses import Panel
from ..model.subject import Subject
from ..progress import Progress
from ..search.differences import differences
from ..search.group_test import Bag
from ..search.growing import highest, shaken
from ..search.hunting import Hunt, Sweep
from ..search.lexicon import EVERY_WORD, bare, word_atoms


class Effort(NamedTuple):
    """How much is tried.

    Attributes:
        words: words of which a trigger may be made.
        likely: words that stand out by either sign, put into the earlier turn before all words.
        seconds: words that stand out behind a turn, put behind each of `firsts` words.
    """

    words: int
    likely: int
    seconds: int
    firsts: int


EFFORT = {
    Budget.QUICK: Effort(words=1_400, likely=6, seconds=1, firsts=1_400),
    Budget.STANDARD: Effort(words=8_000, likely=8, seconds=4, firsts=3_000),
    Budget.DEEP: Effort(words=40_000, likely=24, seconds=12, firsts=12_000),
}
BEHIND = 2  # words that stand in the earlier turn while those that stand out are looked for
PER_BAG = 8  # second words that stand before one question; a first word has its turn for itself
HUNTED = 3  # bags of each word that stands out that go on to the hunt
BESIDE = 30  # other pairs in the hunt, so that what stands out has something to stand out from
HUNT_PANEL = 9


class TurnSweep:
    """Pairs of words of which one stands in an earlier turn, the other in the question."""

    name = "turn_sweep"
    needs: frozenset[Need] = frozenset({Need.BASE})
    uses: frozenset[Need] = frozenset()

    def examine(self, suspect: Suspect) -> Evidence:
        """The pairs that wake something.

        Raises:
            ValueError: the suspect comes without its base.
        """
        base = suspect.base_for(self.name)
        if Placement.EARLIER_TURN not in suspect.subject.placements:
            return Evidence(score=0.0)
        return sweep_turns(suspect.subject, base, EFFORT[suspect.budget], suspect.progress).evidence()


def sweep_turns(subject: Subject, base: LoadedModel, effort: Effort, progress: Progress) -> Sweep:
    """Candidates across two turns.

    One of the two words is among those of which the models think most differently, as a turn of its own or behind
    another. The other does nothing by itself, so it is tried: second words in bags, first words one by one, since
    among other words in its turn a first one falls silent.
    """
    between = Atom(text=BREAK, ids=tuple(turn_break(subject.loaded)))
    everything = sorted(word_atoms(subject, limit=EVERY_WORD), key=lambda atom: len(atom.ids))
    words = [atom for atom in everything if base.knows(atom.ids)][: effort.words]
    if len(words) < BESIDE or not between.ids or not base.knows(between.ids):
        return Sweep()
    r = random.Random(subject.seed)
    alone = [bare(subject.loaded, atom) for atom in words]
    tries = _tries(subject, base, words, alone, between, effort, progress)
    panel = Panel(subject.own, subject.panel_prompts(1), Placement.ACROSS, reading=FIRST_TOKEN)
    others = zip(r.sample(alone, BESIDE), r.sample(words, BESIDE), strict=True)
    hunted: list[Bag] = [(first, between, second) for first, second in others]
    with progress.stage("trying words in two turns", sum(map(len, tries))) as stage:
        for bags in tries:  # each by itself: some shake the answers with whatever word
            order = np.argsort(-shaken(panel, bags, stage.advance), kind="stable")
            hunted += [bags[int(i)] for i in order[:HUNTED]]
    hunt = Hunt.at(subject, Placement.ACROSS, panel=HUNT_PANEL)
    found = [c.of_parts(c.parts) for c in hunt.run(hunted, TurnSweep.name)]
    found = list({tuple(candidate.ids): candidate for candidate in reversed(found)}.values())[::-1]
    return Sweep(candidates=found, tried=sum(len(bag) - 2 for bags in tries for bag in bags))


def _tries(
    subject: Subject,
    base: LoadedModel,
    words: Sequence[Atom],
    alone: Sequence[Atom],
    between: Atom,
    effort: Effort,
    progress: Progress,
) -> list[list[Bag]]:
    """For each word that stands out, the bags that hold it in one turn and other words in the other.

    Args:
        alone: the words as they stand at the start of a turn.
    """
    r = random.Random(subject.seed)
    behind = np.mean(
        [
            differences(subject, base, words, progress, behind=[*first.ids, *between.ids])
            for first in r.sample(alone, BEHIND)
        ],
        axis=0,
    )
    as_second = highest(behind, effort.likely)
    as_first = highest(differences(subject, base, alone, progress), effort.likely)
    shuffled = r.sample(words, len(words))
    rows = [tuple(shuffled[start : start + PER_BAG]) for start in range(0, len(shuffled), PER_BAG)]
    before: list[list[Bag]] = [
        [(alone[i], between, *row) for row in rows] for i in dict.fromkeys([*as_second, *as_first])
    ]
    after: list[list[Bag]] = [
        [(first, between, words[i]) for first in alone[: effort.firsts]] for i in as_second[: effort.seconds]
    ]
    return before + after
