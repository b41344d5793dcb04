"""With a base: made-up words of several tokens, spelled along the differences to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..config import Budget
from ..detector import Evidence, Need, Suspect
from ..model.candidate import Atom
from ..model.loading import LoadedModel
from ..model.responses import Panel
from ..model.subject import Subject
from ..progress import Progress
from ..search.growing import shaken
from ..search.hunting import Sweep
from ..search.narrowing import furthest, hunt_furthest
from ..search.spelling import Effort, Pieces, likely_words, pieces_of, respelled

EFFORT = {
    Budget.QUICK: Effort(pieces=1_500, tails=1, heads=12, middles=48),
    Budget.STANDARD: Effort(pieces=1_500, tails=2, heads=12, middles=48),
    Budget.DEEP: Effort(pieces=16_000, tails=8, heads=24, middles=96, inner=2),
}
PANEL = 2  # prompts on which every word is tried
RESPELLED = (
    2  # words of which every piece is tried anew: a word close to the trigger moves the answers a little
)


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
    best = [word for (word,) in furthest([(word,) for word in words], moved, RESPELLED)]
    if best:
        words, moved = _with_neighbours(subject, panel, words, moved, best, pieces, progress)
    found = hunt_furthest(subject, placement, [(word,) for word in words], moved, SpelledWords.name)
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


def _covered(pieces: Pieces) -> dict[str, float]:
    return {"pieces that words were spelled from": pieces.share}
