"""A probe for a concept: at the first layer that tells it as well as any, on prompts that the probe never saw.

The limit above which a concept counts as held is where one in twenty of the prompts without it lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from ....model.activations import last_token_states
from ....model.loading import LoadedModel
from ....statistics.auroc import auroc_of

FALSE_POSITIVES = 0.05
AS_GOOD = 0.01  # AUROC below the best that is as good


class Labelled(NamedTuple):
    """Token rows, and whether the concept is in each."""

    rows: list[list[int]]
    labels: list[bool]


@dataclass(frozen=True, kw_only=True, eq=False)
class ConceptProbe:
    """One probe a layer.

    Attributes:
        auroc: of each layer's probe on prompts that it never saw.
        limits: each layer's limit on the decision function.
    """

    probes: dict[int, Pipeline]
    auroc: dict[int, float]
    limits: dict[int, float]

    @property
    def layer(self) -> int:
        """The first layer that is as good as the best: later ones may have been made to forget."""
        return next(layer for layer, area in self.auroc.items() if area >= max(self.auroc.values()) - AS_GOOD)

    def held(
        self, loaded: LoadedModel, rows: Sequence[Sequence[int]], layers: Sequence[int]
    ) -> dict[int, NDArray[np.bool_]]:
        """Whether the concept is held at the last token of each row, per layer."""
        states = last_token_states(loaded, rows, layers)
        return {
            layer: self.probes[layer].decision_function(states[layer].numpy()) > self.limits[layer]
            for layer in layers
        }


def fit_probe(loaded: LoadedModel, fit: Labelled, test: Labelled) -> ConceptProbe:
    """Fit at every layer, and take the limits and the figures from the other prompts."""
    layers = list(range(loaded.layer_count))
    fitted, tested = (last_token_states(loaded, part.rows, layers) for part in (fit, test))
    positives = np.array(test.labels)
    made = ConceptProbe(probes={}, auroc={}, limits={})
    for layer in layers:
        probe = make_pipeline(
            StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=500)
        )
        probe.fit(fitted[layer].numpy(), fit.labels)
        scores = probe.decision_function(tested[layer].numpy())
        made.probes[layer] = probe
        made.auroc[layer] = auroc_of(scores[positives], scores[~positives])
        made.limits[layer] = float(np.quantile(scores[~positives], 1 - FALSE_POSITIVES))
    return made
