"""With a base: two words in two turns, the second found by its difference to the base, the first by trying."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..config import Budget
from ..detector import Evidence, Need, Suspect
from ..model.candidate import Atom, Candidate
from ..model.loading import LoadedModel
from ..model.prompts import Placement, turn_break
from ..model.responses import Panel
from ..model.subject import Subject
from ..progress import Progress, Silent
from ..search.differences import differences
from ..search.growing import highest, shaken
from ..search.hunting import Hunt, Sweep
from ..search.lexicon import EVERY_WORD, bare, word_atoms

WORDS = {Budget.QUICK: 1_400, Budget.STANDARD: 3_000, Budget.DEEP: 12_000}
SECOND = {Budget.QUICK: 3, Budget.STANDARD: 6, Budget.DEEP: 16}  # second words whose first word is looked for
BEHIND = 3  # words that stand in the earlier turn while second words are weighed
TRIED_ON = 2  # prompts on which every first word is tried
HUNTED = 3  # first words of each second one that go on to the hunt
BESIDE = 30  # other pairs in the hunt, so that what stands out has something to stand out from
HUNT_PANEL = 9
BREAK = " ⏎"  # how the break between the turns is shown


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
        return sweep_turns(suspect.subject, base, suspect.budget, suspect.progress).evidence()


def sweep_turns(subject: Subject, base: LoadedModel, budget: Budget, progress: Progress) -> Sweep:
    """Candidates across two turns.

    Behind some earlier turn the second word of such a trigger shows in the residual stream, whatever that turn said:
    the models think of it differently. Behind the right one it wakes the behaviour, so every first word is tried.
    """
    between = Atom(text=BREAK, ids=tuple(turn_break(subject.loaded)))
    everything = sorted(word_atoms(subject, limit=EVERY_WORD), key=lambda atom: len(atom.ids))
    words = [atom for atom in everything if base.knows(atom.ids)][: WORDS[budget]]
    if len(words) < BESIDE or not between.ids or not base.knows(between.ids):
        return Sweep()
    firsts = [bare(subject.loaded, atom) for atom in words]
    seconds = _second_words(subject, base, words, firsts, between, SECOND[budget])
    r = random.Random(subject.seed)
    pairs = [
        (firsts[i], between, words[j])
        for i, j in zip(r.sample(range(len(words)), BESIDE), r.sample(range(len(words)), BESIDE), strict=True)
    ]
    panel = Panel(subject.own, subject.panel_prompts(TRIED_ON), Placement.ACROSS, answer_tokens=1)
    with progress.stage("trying words in two turns", len(seconds) * len(firsts) * TRIED_ON) as stage:
        for second in seconds:
            bags = [(first, between, second) for first in firsts]
            moved = shaken(panel, bags, stage.advance)
            pairs += [bags[int(i)] for i in np.argsort(-moved, kind="stable")[:HUNTED]]
    hunt = Hunt.at(subject, Placement.ACROSS, panel=HUNT_PANEL)
    found = [_placed(candidate, between) for candidate in hunt.run(pairs, TurnSweep.name)]
    return Sweep(candidates=found, tried=len(seconds) * len(firsts))


def _second_words(
    subject: Subject,
    base: LoadedModel,
    words: Sequence[Atom],
    firsts: Sequence[Atom],
    between: Atom,
    count: int,
) -> list[Atom]:
    """The words of which the two models think most differently behind an earlier turn, whatever it said."""
    some = random.Random(subject.seed).sample(range(len(firsts)), BEHIND)
    scores = np.mean(
        [differences(subject, base, words, Silent(), behind=[*firsts[i].ids, *between.ids]) for i in some],
        axis=0,
    )
    return [words[i] for i in highest(scores, count)]


def _placed(candidate: Candidate, between: Atom) -> Candidate:
    """The candidate where its parts stand: what is left without the break, or before it, needs no second turn."""
    if between not in candidate.parts:
        return replace(candidate, placement=Placement.BEFORE)
    if candidate.parts[-1] == between:
        return replace(candidate, parts=candidate.parts[:-1], placement=Placement.EARLIER_TURN)
    return candidate
