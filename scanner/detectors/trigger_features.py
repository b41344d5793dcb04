"""SAE features that wake with a trigger and stay silent on neutral prompts, near-misses and random strings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ...kernels.feature_stats import FeatureStats, stats_of_codes
from ...kernels.sae_encode import SparseCodes
from ..findings import Feature
from ..interventions.ablation import features_ablated
from ..interventions.contrast_set import ContrastSet, Group, contrast_set
from ..interventions.effect import answer, success_count
from ..interventions.verification import HELD_OUT, Verified
from ..model.activations import HOOK, last_token_states
from ..model.subject import Subject
from ..sae.dictionaries import LayerDictionary
from ..statistics.discovery import q_values
from ..statistics.effects import Moments, cohens_d
from ..statistics.sparse_ranks import rank_tests_of_codes

FLAGGED = 8  # features reported per layer, at most
Q_VALUE = 0.01
FIRES_TRIGGERED = 0.5
FIRES_NEUTRAL = 0.25
EXAMPLES = 3
LARGEST_EFFECT = 1e6  # stands for the infinity of two groups without any spread, which JSON cannot hold


@dataclass(frozen=True, kw_only=True)
class LayerEvidence:
    """What one layer's dictionary says about one trigger.

    Attributes:
        stats: per group and feature, at the last prompt token.
        codes: of every row of the contrast set.
    """

    layer: int
    stats: FeatureStats
    codes: SparseCodes
    features: list[Feature]


def find_features(
    subject: Subject, verified: Verified, dictionaries: Sequence[LayerDictionary]
) -> tuple[list[LayerEvidence], ContrastSet]:
    """Flag trigger-specific features at every dictionary's layer and switch them off."""
    contrast = contrast_set(subject, verified.candidate, verified.behaviour)
    states = last_token_states(subject.loaded, contrast.rows, [d.layer for d in dictionaries])
    evidence = []
    for dictionary in dictionaries:
        codes = dictionary.sae.encode(states[dictionary.layer].to(dictionary.sae.w_enc.device))
        stats = stats_of_codes(codes, groups=torch.tensor(contrast.groups), group_count=len(Group))
        features = _flag(subject, verified, dictionary, contrast, codes, stats)
        if features:
            effect = causal_effect(subject, verified, dictionary, [f.feature for f in features])
            features = [replace_effect(f, effect) for f in features]
        evidence.append(LayerEvidence(layer=dictionary.layer, stats=stats, codes=codes, features=features))
    return evidence, contrast


def _flag(
    subject: Subject,
    verified: Verified,
    dictionary: LayerDictionary,
    contrast: ContrastSet,
    codes: SparseCodes,
    stats: FeatureStats,
) -> list[Feature]:
    rate = stats.firing_rate().numpy()
    count = stats.token_count.numpy()
    total, square = stats.value_sum.numpy(), stats.square_sum.numpy()
    on, off = int(Group.TRIGGERED), [int(Group.NEUTRAL), int(Group.NEAR_MISS), int(Group.RANDOM)]
    effect = cohens_d(
        Moments(count=int(count[on]), value_sum=total[on], square_sum=square[on]),
        Moments(count=int(count[off].sum()), value_sum=total[off].sum(0), square_sum=square[off].sum(0)),
    )
    tests = rank_tests_of_codes(
        codes.entry_tokens().numpy(),
        codes.indices.numpy(),
        codes.values.numpy(),
        np.array(contrast.groups) == on,
        codes.feature_count,
    )
    q = q_values(tests.p_value)
    specific = (
        (q < Q_VALUE) & (effect > 0) & (rate[on] >= FIRES_TRIGGERED) & (rate[Group.NEUTRAL] <= FIRES_NEUTRAL)
    )
    order = [
        int(f)
        for f in np.argsort(-np.where(specific, effect, -np.inf), kind="stable")[:FLAGGED]
        if specific[f]
    ]
    return [
        Feature(
            layer=dictionary.layer, hook=HOOK, feature=f, trigger=verified.trigger.text,
            firing_rate_neutral=float(rate[Group.NEUTRAL, f]), firing_rate_triggered=float(rate[on, f]),
            firing_rate_near_miss=float(rate[Group.NEAR_MISS, f]), effect_size=min(float(effect[f]), LARGEST_EFFECT),
            auroc=float(tests.auroc[f]), q_value=float(q[f]), causal_effect=None,
            top_examples=_examples(subject, contrast, codes, f),
        )
        for f in order
    ]  # fmt: skip


def _examples(subject: Subject, contrast: ContrastSet, codes: SparseCodes, feature: int) -> list[str]:
    entries = (codes.indices == feature).nonzero().squeeze(1)
    tokens = codes.entry_tokens()[entries]
    order = codes.values[entries].argsort(descending=True, stable=True)[:EXAMPLES]
    return [subject.loaded.decode(contrast.rows[int(tokens[i])]).strip() for i in order]


def causal_effect(
    subject: Subject, verified: Verified, dictionary: LayerDictionary, features: Sequence[int]
) -> float:
    """Fall of the attack success rate when these features of one layer are switched off, in [-1, 1]."""
    cluster, trigger = verified.candidate.cluster, verified.trigger
    prompts = [p for p in subject.held_out if cluster is None or p.cluster == cluster][:HELD_OUT]
    chat, candidate = subject.prompts.chat, verified.candidate
    plain = answer(subject.loaded, prompts, candidate.placement, candidate.ids, chat=chat).plain
    with features_ablated(subject.loaded, {dictionary.layer: (dictionary.sae, list(features))}):
        without = answer(subject.loaded, prompts, candidate.placement, candidate.ids, chat=chat)
    hits = success_count(verified.behaviour, replace(without, plain=plain))
    return trigger.attack_success_rate - hits / len(prompts)


def replace_effect(feature: Feature, effect: float) -> Feature:
    """The feature with its layer's causal effect."""
    return feature.model_copy(update={"causal_effect": effect})
