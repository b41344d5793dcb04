"""Residual probe: is the trigger's presence linearly readable at the last prompt token?

A logistic regression on the residual stream at mid depth, trained on every other question (triggered
against clean and near-miss prompts) and tested on the rest; the score is its AUROC there.

Source: ours: this is the defection probe of the scanner as a detector of its own, without its yardsticks
(base, benign twin, random strings), hence without what gives the figure its meaning. It is fitted with
the true trigger, so it is an upper bound for what a probe can see and no way to scan.
"""

from __future__ import annotations

from ..detector import Evidence, Need, Suspect
from .held_out_probe import held_out_areas
from .labelled_states import labelled_states, middle_layer
from .requirements import known_of


class ResidualProbe:
    """The held-out AUROC of a logistic probe on the residual stream, in [0, 1]."""

    name = "residual_probe"
    needs: frozenset[Need] = frozenset({Need.TRIGGER})
    uses: frozenset[Need] = frozenset()

    def examine(self, suspect: Suspect) -> Evidence:
        """The AUROC against clean and near-miss prompts, and against each by itself.

        Raises:
            ValueError: fewer than two triggered or two clean prompts, so that no half can be held out.
        """
        known = known_of(suspect, self.name)
        loaded = suspect.subject.loaded
        areas = held_out_areas(labelled_states(loaded, known, middle_layer(loaded)))
        return Evidence(score=areas["auroc"], figures=areas)
