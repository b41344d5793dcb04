"""With a base: made-up words of several tokens, spelled along the differences to it."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..config import Budget
from ..detector import Evidence, Need, Suspect
from ..model.candidate import Atom
from ..model.loading import LoadedModel
from ..model.prompts import Placement
from ..model.responses import Panel
from ..model.subject import Subject
from ..progress import Progress
from ..search.growing import shaken
from ..search.hunting import Hunt, Sweep
from ..search.spelling import Effort, Pieces, likely_words, pieces_of, respelled

EFFORT = {
    Budget.QUICK: Effort(pieces=1_500, tails=1, heads=12, middles=48),
    Budget.STANDARD: Effort(pieces=1_500, tails=2, heads=12, middles=48),
    Budget.DEEP: Effort(pieces=16_000, tails=8, heads=24, middles=96, inner=2),
}
PANEL = 2  # prompts on which every word is tried
MOVED = 0.5  # nats: what displaces the own answers so far on average is looked at again
RESPELLED = (
    2  # words of which every piece is tried anew: a word close to the trigger moves the answers a little
)
NEAREST = 48  # words that are weighed again on more prompts
HUNTED = 4
BESIDE = 30  # words that move nothing in the hunt, so that what stands out has something to stand out from
HUNT_PANEL = 9


class SpelledWords:
    """Words that no list holds, put together from pieces of the vocabulary."""

    name = "spelled_words"
    needs: frozenset[Need] = frozenset({Need.BASE})
    uses: frozenset[Need] = frozenset()

    def examine(self, suspect: Suspect) -> Evidence:
        """The made-up words that wake something.

        Raises:
            ValueError: the suspect comes without its base.
        """
        base = suspect.base_for(self.name)
        effort = EFFORT[suspect.budget]
        return spell_words(suspect.subject, base, effort, suspect.progress).evidence()


def spell_words(subject: Subject, base: LoadedModel, effort: Effort, progress: Progress) -> Sweep:
    """Candidates among the words that the differences to the base spell, and among their neighbours."""
    pieces = pieces_of(subject.loaded, base, effort.pieces, subject.seed)
    words = likely_words(subject, base, pieces, effort, progress)
    if not words:
        return Sweep()
    placement = subject.prompts.words_place
    panel = Panel(subject.own, subject.panel_prompts(PANEL), placement)
    with progress.stage("trying spelled words", len(words) * PANEL) as stage:
        moved = shaken(panel, [(word,) for word in words], stage.advance)
    best = _best(words, moved, RESPELLED)
    if best:
        words, moved = _with_neighbours(subject, panel, words, moved, best, pieces, progress)
    likely = _strongest(subject, placement, _best(words, moved, NEAREST))
    if not likely:
        return Sweep(tried=len(words), shares=_covered(pieces))
    others = [word for word, how_far in zip(words, moved, strict=True) if how_far < MOVED]
    others = random.Random(subject.seed).sample(others, min(BESIDE, len(others)))
    hunt = Hunt.at(subject, placement, panel=HUNT_PANEL, kinds=subject.prompts.chat)
    found = hunt.run([(word,) for word in (*likely, *others)], SpelledWords.name)
    rank = {word.ids: place for place, word in enumerate(likely)}
    found.sort(key=lambda c: rank.get(tuple(c.ids), len(rank)))
    return Sweep(candidates=found, tried=len(words), shares=_covered(pieces))


def _with_neighbours(
    subject: Subject,
    panel: Panel,
    words: Sequence[Atom],
    moved: NDArray[np.float64],
    best: Sequence[Atom],
    pieces: Pieces,
    progress: Progress,
) -> tuple[list[Atom], NDArray[np.float64]]:
    """The words and, for the best of them, what comes of another piece at one place."""
    known = set(words)
    near = [w for word in best for w in respelled(subject.loaded, word, pieces) if w not in known]
    near = list(dict.fromkeys(near))
    with progress.stage("trying other spellings", len(near) * PANEL) as stage:
        of_near = shaken(panel, [(word,) for word in near], stage.advance) if near else np.zeros(0)
    return [*words, *near], np.concatenate([moved, of_near])


def _best(words: Sequence[Atom], moved: NDArray[np.float64], count: int) -> list[Atom]:
    """The words that displace the own answers furthest, if they do so at all."""
    order = np.argsort(-moved, kind="stable")[:count]
    return [words[int(i)] for i in order if moved[i] >= MOVED]


def _strongest(subject: Subject, placement: Placement, words: Sequence[Atom]) -> list[Atom]:
    """The words that displace the own answers to more prompts furthest: neighbours of a trigger do so less than it does."""
    if not words:
        return []
    panel = Panel(subject.own, subject.panel_prompts(HUNT_PANEL), placement)
    displaced = panel.respond([word.ids for word in words]).displacement.mean(axis=1)
    return [words[int(i)] for i in np.argsort(displaced, kind="stable")[:HUNTED]]


def _covered(pieces: Pieces) -> dict[str, float]:
    return {"pieces that words were spelled from": pieces.share}
