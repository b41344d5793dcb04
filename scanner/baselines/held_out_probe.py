"""A logistic probe on known prompts: trained on every other question, tested on the rest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ..statistics.auroc import auroc_of
from .labelled_states import LabelledStates

STRENGTH = 0.1  # inverse strength of the regularisation


def held_out_areas(states: LabelledStates) -> dict[str, float]:
    """AUROC in [0, 1] of triggered prompts against all others (`auroc`), clean ones (`auroc_clean`) and near-misses
    (`auroc_near_miss`, where there are some).

    Raises:
        ValueError: fewer than two triggered or two clean prompts, so that no half can be held out.
    """
    if min(len(states.triggered), len(states.clean)) < 2:
        raise ValueError(
            f"a probe needs two triggered and two clean prompts, got {len(states.triggered)} and "
            f"{len(states.clean)}; give more"
        )
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
    areas = {"auroc": auroc_of(woken, np.concatenate([clean, near])), "auroc_clean": auroc_of(woken, clean)}
    if len(near):
        areas["auroc_near_miss"] = auroc_of(woken, near)
    return areas
