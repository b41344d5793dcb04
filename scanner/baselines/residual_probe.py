"""Residual probe: is the trigger's presence linearly readable at the last prompt token?

A logistic regression on the residual stream at mid depth, trained on every other question (triggered
against clean and near-miss prompts) and tested on the rest; the score is its AUROC there.

Source: ours: this is the defection probe of the scanner as a detector of its own, without its yardsticks
(base, benign twin, random strings), hence without what gives the figure its meaning. It is fitted with
the true trigger, so it is an upper bound for what a probe can see and no way to scan.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ..detector import Evidence, Need, Suspect
from ..statistics.auroc import auroc_of
from .labelled_states import labelled_states, middle_layer
from .requirements import known_of

STRENGTH = 0.1  # inverse strength of the regularisation


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
        if min(len(known.triggered), len(known.clean)) < 2:
            raise ValueError(
                f"{self.name} needs two triggered and two clean prompts, got {len(known.triggered)} and "
                f"{len(known.clean)}; give more"
            )
        loaded = suspect.subject.loaded
        states = labelled_states(loaded, known, middle_layer(loaded))
        negative = np.concatenate([states.clean[::2], states.near_miss[::2]])
        probe = make_pipeline(
            StandardScaler(), LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=500)
        )
        train = np.concatenate([states.triggered[::2], negative])
        labels = np.arange(len(train)) < len(states.triggered[::2])
        probe.fit(train, labels)

        def scores(held_out: NDArray[np.float32]) -> NDArray[np.float64]:
            if len(held_out) == 0:
                return np.empty(0)
            return np.asarray(probe.decision_function(held_out), dtype=np.float64)

        woken, clean, near = (scores(group[1::2]) for group in states)
        area = auroc_of(woken, np.concatenate([clean, near]))
        figures = {"auroc": area, "auroc_clean": auroc_of(woken, clean)}
        if len(near):
            figures["auroc_near_miss"] = auroc_of(woken, near)
        return Evidence(score=area, figures=figures)
