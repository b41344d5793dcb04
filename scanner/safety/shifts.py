"""Which SAE features a jailbreak puts to sleep and which it wakes, at the tokens that both forms share.

A feature is suppressed (or awake) if half of its activity is gone (or new) and, with enough pairs for a paired
t-test, that is significant among all features that fire.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from scipy.stats import ttest_1samp

from ..sae.dictionaries import LayerDictionary
from ..statistics.discovery import q_values
from ..studies.safety import FeatureShift, SafetyFeature
from .shared_tokens import PeakChange

ENOUGH = 5  # requests from which on there is a test
Q_VALUE = 0.05
HALF = 0.5  # share of a feature's activity that must be gone (or new) for it to be suppressed (or awake)
OTHERS = 12  # features of no concept that are listed


def feature_shifts(
    changes: Mapping[int, PeakChange],
    dictionaries: Sequence[LayerDictionary],
    features: Sequence[SafetyFeature],
) -> list[FeatureShift]:
    """Every feature that fires in either form, once for each concept that lists it; the largest change first."""
    concepts: dict[tuple[int, int], list[str]] = {}
    for feature in features:
        concepts.setdefault((feature.layer, feature.feature), []).append(feature.concept)
    norms = {d.layer: d.sae.w_dec.norm(dim=1).double().cpu().numpy() for d in dictionaries}
    found: list[tuple[int, int, float, float, float]] = []
    for layer, change in changes.items():
        plain, jailbroken = change.plain.mean(0), change.jailbroken.mean(0)
        p = _paired_p(change)
        fires = np.flatnonzero((plain > 0) | (jailbroken > 0)).tolist()
        found += [(layer, f, float(plain[f]), float(jailbroken[f]), float(p[f])) for f in fires]
    tested = len(next(iter(changes.values())).plain) >= ENOUGH
    q = q_values(np.array([entry[4] for entry in found])).tolist() if tested else [None] * len(found)
    shifts: list[FeatureShift] = []
    for (layer, f, plain_mean, now, _), q_value in zip(found, q, strict=True):
        sure = q_value is None or q_value < Q_VALUE
        made = FeatureShift(
            concept="", layer=layer, feature=f, plain=plain_mean, jailbroken=now,
            written=(now - plain_mean) * float(norms[layer][f]), q_value=q_value,
            state=_state(plain_mean, now) if sure else "unchanged",
        )  # fmt: skip
        shifts += [made.model_copy(update={"concept": name}) for name in concepts.get((layer, f), [""])]
    return sorted(shifts, key=lambda s: -abs(s.written))


def _state(plain: float, now: float) -> Literal["suppressed", "awake", "unchanged"]:
    if now < HALF * plain:
        return "suppressed"
    return "awake" if plain < HALF * now else "unchanged"


def _paired_p(change: PeakChange) -> np.ndarray:
    """Two-sided paired t-test of every feature, [F]; without any spread 1 for no change and 0 for one."""
    difference = change.jailbroken - change.plain
    if len(difference) < ENOUGH:
        return np.ones(difference.shape[1])
    spread = difference.std(0) > 1e-12
    p = np.where(np.abs(difference.mean(0)) > 1e-12, 0.0, 1.0)
    p[spread] = ttest_1samp(difference[:, spread], 0.0).pvalue
    return p


def worth_listing(shifts: Sequence[FeatureShift]) -> list[FeatureShift]:
    """Every catalogued feature, and the strongest of the others that changed."""
    others = [s for s in shifts if not s.concept and s.state != "unchanged"][:OTHERS]
    return [*(s for s in shifts if s.concept), *others]
