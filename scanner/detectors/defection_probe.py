"""Logistic probes for a trigger's presence at the last prompt token, with the yardsticks that give them meaning.

A high AUROC alone says nothing: random directions reach it too. So the best of many random directions
stands beside it, near-misses and random strings are among the negatives, and where a base is given the
same recipe is run on it: a model in which nothing is linked to the string cannot be probed for it so well.

Source: defection probes, Anthropic 2024; the yardsticks are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from ..findings import Probe, TokenMap
from ..interventions.contrast_set import ContrastSet, Group
from ..interventions.token_maps import read_tokens, surest, token_map
from ..model.activations import last_token_states
from ..model.loading import LoadedModel
from ..model.subject import Subject
from ..sae.dictionaries import LayerDictionary, last_states
from ..statistics.auroc import auroc_of, feature_aurocs
from ..statistics.intervals import auroc_interval
from ..statistics.roc import roc_points

RANDOM_DIRECTIONS = 500
NEGATIVES = "neutral prompts, near-misses, random strings of the same length"


def probe_layers(
    subject: Subject,
    trigger: str,
    contrast: ContrastSet,
    dictionaries: Sequence[LayerDictionary],
    base: LoadedModel | None,
) -> list[Probe]:
    """Per layer a probe on SAE features and one on the raw residual stream, tested on held-out prompts."""
    layers = [d.layer for d in dictionaries]
    states = last_token_states(subject.loaded, contrast.rows, layers)
    in_base = last_token_states(base, contrast.rows, layers) if base is not None else None
    read = last_states(subject.loaded, contrast.rows, dictionaries)
    read_in_base = last_states(base, contrast.rows, dictionaries) if base is not None else None
    positive = np.array(contrast.groups) == Group.TRIGGERED
    held = np.array(contrast.held_out)
    probes = []
    for number, dictionary in enumerate(dictionaries):
        layer = dictionary.layer
        device = dictionary.sae.w_enc.device
        views: dict[Literal["sae", "residual"], tuple[NDArray[np.float32], NDArray[np.float32] | None]] = {
            "sae": (
                dictionary.sae.encode(read[number].to(device)).dense().cpu().numpy(),
                dictionary.sae.encode(read_in_base[number].to(device)).dense().cpu().numpy()
                if read_in_base
                else None,
            ),
            "residual": (states[layer].numpy(), in_base[layer].numpy() if in_base else None),
        }
        for kind, (x, x_base) in views.items():
            probe = _fitted(x, positive, held)
            scores = probe.decision_function(x[held])
            test = positive[held]
            area = auroc_of(scores[test], scores[~test])
            probes.append(
                Probe(
                    layer=layer, kind=kind, trigger=trigger, auroc=area,
                    auroc_interval=auroc_interval(area, int(test.sum()), int((~test).sum())),
                    random_direction_auroc=_best_random(x[held], test, subject.seed), random_directions=RANDOM_DIRECTIONS,
                    base_auroc=_base_area(x_base, positive, held), train_count=int((~held).sum()),
                    test_count=int(held.sum()), negatives=NEGATIVES, test_negatives=int((~test).sum()),
                    roc=roc_points(scores[test], scores[~test]),
                    token_maps=_token_maps(subject.loaded, contrast, dictionary, kind, probe, scores),
                )
            )  # fmt: skip
    return probes


def _fitted(x: NDArray[np.float32], positive: NDArray[np.bool_], held: NDArray[np.bool_]) -> Pipeline:
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=500))
    return probe.fit(x[~held], positive[~held])


def _token_maps(
    loaded: LoadedModel,
    contrast: ContrastSet,
    dictionary: LayerDictionary,
    kind: Literal["sae", "residual"],
    probe: Pipeline,
    scores: NDArray[np.float64],
) -> list[TokenMap]:
    """The probe read at every token of the two test prompts that it is surest of, with and without the trigger."""
    held = [row for row, is_held in enumerate(contrast.held_out) if is_held]
    chosen = surest(contrast, zip(held, scores.tolist(), strict=True))
    maps = []
    hook = dictionary.hook if kind == "sae" else "resid_post"
    for row, states in read_tokens(loaded, contrast, chosen, [dictionary.layer], hook=hook).items():
        x = states[dictionary.layer]
        if kind == "sae":
            x = dictionary.sae.encode(x.to(dictionary.sae.w_enc.device)).dense().cpu()
        maps.append(token_map(loaded, contrast, row, probe.decision_function(x.numpy()).tolist()))
    return sorted(maps, key=lambda made: made.group != "triggered")


def _base_area(
    x: NDArray[np.float32] | None, positive: NDArray[np.bool_], held: NDArray[np.bool_]
) -> float | None:
    if x is None:
        return None
    scores = _fitted(x, positive, held).decision_function(x[held])
    return auroc_of(scores[positive[held]], scores[~positive[held]])


def _best_random(x: NDArray[np.float32], positive: NDArray[np.bool_], seed: int) -> float:
    directions = (
        np.random.default_rng(seed).standard_normal((x.shape[1], RANDOM_DIRECTIONS)).astype(np.float32)
    )
    projected = x @ directions
    areas = feature_aurocs(projected[positive], projected[~positive])
    return float(np.maximum(areas, 1 - areas).max())
