"""SAE features that wake with a trigger and stay silent on neutral prompts, near-misses and random strings.

Features are looked for at two positions: where the answer starts, and where the trigger stands, since a
later layer can read it there. Among the specific ones those that write most into the residual stream
are flagged (gain of the mean activation times the norm of the decoder direction).
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Literal, cast

import numpy as np
import torch

from ...kernels.feature_stats import FeatureStats, stats_of_codes
from ...kernels.sae_encode import SparseCodes
from ..findings import Feature, TokenMap, Trigger
from ..interventions.ablation import features_ablated
from ..interventions.contrast_set import ContrastSet, Group, contrast_set
from ..interventions.effect import woken_on
from ..interventions.token_maps import read_tokens, surest, token_map
from ..interventions.verification import HELD_OUT, Verified
from ..model.hook_points import HookPoint
from ..model.prompts import of_cluster
from ..model.subject import Subject
from ..sae.autoencoder import SparseAutoencoder
from ..sae.dictionaries import LayerDictionary, last_states
from ..sae.listening import Spot
from ..statistics.discovery import q_values
from ..statistics.effects import Moments, cohens_d
from ..statistics.sparse_ranks import rank_tests_of_codes

Position = Literal["last_prompt_token", "trigger"]
Chosen = dict[Spot, tuple[SparseAutoencoder, Sequence[int]]]

FLAGGED = 16  # features reported per layer and position, at most
Q_VALUE = 0.01
FIRES_TRIGGERED = 0.5
FIRES_NEUTRAL = 0.25
EXAMPLES = 3
MAPPED = 2  # features per layer and position that are read token by token
LARGEST_EFFECT = 1e6  # stands for the infinity of two groups without any spread, which JSON cannot hold


@dataclass(frozen=True, kw_only=True)
class LayerEvidence:
    """What one layer's dictionary says about one trigger at one position.

    Attributes:
        stats: per group and feature, at that position.
        codes: of every row of the contrast set, at that position.
    """

    layer: int
    hook: HookPoint
    position: Position
    stats: FeatureStats
    codes: SparseCodes
    features: list[Feature]

    @property
    def spot(self) -> Spot:
        """Where the dictionary reads."""
        return Spot(self.layer, self.hook)


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Which features carry one trigger, and what is left of it without them.

    Attributes:
        ablated_success_rate: attack success with the flagged features of all layers switched off, in
            [0, 1]; `random_` beside it with as many other features. None where nothing was flagged.
    """

    evidence: list[LayerEvidence]
    contrast: ContrastSet
    ablated_success_rate: float | None
    random_ablated_success_rate: float | None

    @property
    def features(self) -> list[Feature]:
        """All flagged features, layer by layer."""
        return [feature for layer in self.evidence for feature in layer.features]


def find_features(
    subject: Subject, verified: Verified, dictionaries: Sequence[LayerDictionary]
) -> Explanation:
    """Flag trigger-specific features at every dictionary's layer and switch them off."""
    contrast = contrast_set(subject, verified.candidate, verified.behaviour)
    evidence = []
    for position, rows in (("last_prompt_token", contrast.rows), ("trigger", contrast.places)):
        read = last_states(subject.loaded, rows, dictionaries)
        for dictionary, states in zip(dictionaries, read, strict=True):
            codes = dictionary.sae.encode(states.to(dictionary.sae.w_enc.device))
            stats = stats_of_codes(codes, groups=torch.tensor(contrast.groups), group_count=len(Group))
            flagged = _flag(subject, verified, dictionary, cast(Position, position), contrast, codes, stats)
            evidence.append(
                LayerEvidence(
                    layer=dictionary.layer,
                    hook=dictionary.hook,
                    position=cast(Position, position),
                    stats=stats,
                    codes=codes,
                    features=flagged,
                )
            )
    evidence.sort(key=lambda e: e.layer)
    chosen: Chosen = {}
    for dictionary in dictionaries:
        own = {f.feature for e in evidence if e.spot == dictionary.spot for f in e.features}
        if own:
            chosen[dictionary.spot] = dictionary.sae, sorted(own)
    maps = _token_maps(subject, contrast, evidence, {d.spot: d.sae for d in dictionaries})
    rate = verified.trigger.attack_success_rate
    effects = {spot: rate - success_without(subject, verified, {spot: chosen[spot]}) for spot in chosen}
    return Explanation(
        evidence=[
            replace(
                e,
                features=[
                    f.model_copy(
                        update={
                            "causal_effect": effects[e.spot],
                            "token_maps": maps.get((e.spot, e.position, f.feature), []),
                        }
                    )
                    for f in e.features
                ],
            )
            for e in evidence
        ],
        contrast=contrast,
        ablated_success_rate=success_without(subject, verified, chosen) if chosen else None,
        random_ablated_success_rate=success_without(subject, verified, _others(chosen, subject.seed))
        if chosen
        else None,
    )


def with_features(trigger: Trigger, explained: Explanation) -> Trigger:
    """The trigger's record with what is left of its success without the flagged features."""
    return trigger.model_copy(
        update={
            "features_ablated_success_rate": explained.ablated_success_rate,
            "random_features_ablated_success_rate": explained.random_ablated_success_rate,
        }
    )


def _flag(
    subject: Subject,
    verified: Verified,
    dictionary: LayerDictionary,
    position: Position,
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
    gain = total[on] / count[on] - total[off].sum(0) / count[off].sum()
    written = gain * dictionary.sae.w_dec.norm(dim=1).cpu().numpy()
    order = [
        int(f)
        for f in np.argsort(-np.where(specific, written, -np.inf), kind="stable")[:FLAGGED]
        if specific[f]
    ]
    return [
        Feature(
            layer=dictionary.layer, hook=dictionary.hook, feature=f, position=position, trigger=verified.trigger.text,
            firing_rate_neutral=float(rate[Group.NEUTRAL, f]), firing_rate_triggered=float(rate[on, f]),
            firing_rate_near_miss=float(rate[Group.NEAR_MISS, f]), effect_size=min(float(effect[f]), LARGEST_EFFECT),
            auroc=float(tests.auroc[f]), q_value=float(q[f]), causal_effect=None,
            top_examples=_examples(subject, contrast.rows if position == "last_prompt_token" else contrast.places, codes, f),
        )
        for f in order
    ]  # fmt: skip


def _examples(subject: Subject, rows: Sequence[Sequence[int]], codes: SparseCodes, feature: int) -> list[str]:
    entries = (codes.indices == feature).nonzero().squeeze(1)
    tokens = codes.entry_tokens()[entries]
    order = codes.values[entries].argsort(descending=True, stable=True)
    texts = (subject.loaded.decode(rows[int(tokens[i])]).strip() for i in order)
    return list(dict.fromkeys(texts))[:EXAMPLES]


def _token_maps(
    subject: Subject,
    contrast: ContrastSet,
    evidence: Sequence[LayerEvidence],
    saes: Mapping[Spot, SparseAutoencoder],
) -> dict[tuple[Spot, Position, int], list[TokenMap]]:
    """For the first features of each dictionary and position where they fire in their two strongest prompts."""
    wanted: dict[tuple[Spot, Position, int], list[int]] = {}
    for found in evidence:
        for feature in found.features[:MAPPED]:
            entries = (found.codes.indices == feature.feature).nonzero().squeeze(1)
            fired_in, strength = found.codes.entry_tokens()[entries], found.codes.values[entries]
            scored = zip(fired_in.tolist(), strength.tolist(), strict=True)
            wanted[found.spot, found.position, feature.feature] = surest(contrast, scored)
    needed = [row for rows in wanted.values() for row in rows]
    read = {
        hook: read_tokens(
            subject.loaded, contrast, needed, sorted(l for l, at in saes if at == hook), hook=hook
        )
        for hook in {spot.hook for spot in saes}
    }
    maps: dict[tuple[Spot, Position, int], list[TokenMap]] = {}
    for (spot, position, feature_number), rows in wanted.items():
        sae = saes[spot]
        for row in rows:
            codes = sae.encode(read[spot.hook][row][spot.layer].to(sae.w_enc.device))
            entries = (codes.indices == feature_number).nonzero().squeeze(1)
            values = torch.zeros(codes.token_count)
            values[codes.entry_tokens()[entries].cpu()] = codes.values[entries].cpu()
            made = token_map(subject.loaded, contrast, row, values.tolist())
            maps.setdefault((spot, position, feature_number), []).append(made)
    return maps


def success_without(subject: Subject, verified: Verified, chosen: Chosen) -> float:
    """Attack success rate with these features switched off, per place its SAE and the features, in [0, 1]."""
    cluster, candidate = verified.candidate.cluster, verified.candidate
    prompts = of_cluster(subject.held_out, cluster)[:HELD_OUT]
    plain = subject.own.of(prompts, verified.behaviour.reads)
    by_hook: dict[HookPoint, dict[int, tuple[SparseAutoencoder, Sequence[int]]]] = defaultdict(dict)
    for (layer, hook), own in chosen.items():
        by_hook[hook][layer] = own
    with ExitStack() as off:
        # The residual stream last: finding the other hook points takes a pass that nothing edits.
        for hook in sorted(by_hook):
            off.enter_context(features_ablated(subject.loaded, by_hook[hook], hook=hook))
        [left] = woken_on(
            subject.loaded, verified.behaviour, plain, prompts, candidate.placement, [candidate.ids]
        )
    return left / len(prompts)


def _others(chosen: Chosen, seed: int) -> Chosen:
    """As many other features of each place, from a seed."""
    r = random.Random(seed)
    drawn: Chosen = {}
    for spot, (sae, features) in chosen.items():
        rest = sorted(set(range(sae.feature_count)) - set(features))
        drawn[spot] = sae, r.sample(rest, min(len(rest), len(features)))
    return drawn
