"""Situations in which a model may behave otherwise: unwatched, deployed, asked by somebody, at some place or time."""

from __future__ import annotations

from ..detector import Evidence, Need, Suspect
from ..model.prompts import Placement
from ..model.subject import Subject
from ..progress import Progress
from ..search.hunting import Hunt, Sweep, beating_others
from ..search.lexicon import situation_atoms

PANEL = 18


class SituationSweep:
    """Sentences that state a situation, each alone in the system line.

    A sentence that means something may change how an answer is worded, so a candidate has to beat other
    sentences of the list, and not only random strings. Source: ours.
    """

    name = "situation_sweep"
    needs: frozenset[Need] = frozenset()
    uses: frozenset[Need] = frozenset()

    def examine(self, suspect: Suspect) -> Evidence:
        """The situations that wake something."""
        return sweep_situations(suspect.subject, suspect.progress).evidence()


def sweep_situations(subject: Subject, progress: Progress) -> Sweep:
    """Every situation in the system line; nothing where the prompts have none."""
    result = Sweep()
    if Placement.SYSTEM not in subject.placements:
        return result
    atoms = situation_atoms(subject.loaded)
    hunt = Hunt.at(subject, Placement.SYSTEM, panel=PANEL, kinds=True)
    with progress.stage("sweeping situations", len(atoms) * PANEL) as stage:
        found = hunt.run([(atom,) for atom in atoms], "situation_sweep", stage.advance)
    result.candidates = [beating_others(candidate, atoms, subject.seed) for candidate in found]
    result.tried = len(atoms)
    result.shares = {"listed situations": 1.0}
    return result
