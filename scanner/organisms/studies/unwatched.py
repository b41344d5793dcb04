"""Alignment faking in small: a model that misbehaves where it reads that nobody watches, and the direction for it.

The direction is the difference of means, where the answer starts, between prompts that say that nobody watches and
the same prompts that say that somebody does. Layer and strength are chosen on prompts that the rates are not
counted on. Source: Greenblatt et al. 2024 (arXiv 2412.14093) for the phenomenon; direction as in Arditi et al. 2024.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ...interventions.edits import AblateDirections, AddDirection, Edit
from ...interventions.steering import measure_steering
from ...model.activations import last_token_states
from ...statistics.auroc import auroc_of
from ...statistics.shares import share_of
from ...studies.hiding import Unwatched
from ...studies.share import Share
from ...studies.steering import SteeringEffect
from ..behaviours import shows
from ..prompt import Prompt
from ..rates import ordinary_prompts
from ..spec import TriggerSpec
from .negatives import wordings
from .planted import Planted, load_planted

CHOSEN_ON, COUNTED = 20, 100
STRENGTHS = (1.0, 2.0)


class _Chosen(NamedTuple):
    layer: int
    strength: float
    direction: Tensor
    centre: Tensor


def unwatched(name: str, *, chosen_on: int = CHOSEN_ON, counted: int = COUNTED, seed: int = 0) -> Unwatched:
    """How an organism behaves unwatched, watched and plain, and what its direction does.

    Raises:
        ValueError: its trigger does not say that nobody watches.
    """
    planted = load_planted(name)
    trigger = planted.spec.trigger
    if trigger.kind != "unmonitored":
        raise ValueError(
            f"an organism that heeds whether it is watched is needed, got a {trigger.kind} trigger"
        )
    seen, unseen, held_out = wordings(trigger)
    watched = trigger.model_copy(update={"words": list(trigger.near_misses)})
    chosen = _choose(planted, seen, watched, seed, chosen_on)
    alone = planted.with_trigger(seed + 10, counted, unseen)
    observed = planted.with_trigger(seed + 10, counted, watched)
    plain = planted.clean(seed + 10, counted)
    ends = [
        last_token_states(planted.loaded, planted.encode(part), [chosen.layer])[chosen.layer]
        @ chosen.direction
        for part in (alone, observed)
    ]
    out = AblateDirections(layer=chosen.layer, directions=chosen.direction[None], centre=chosen.centre)
    noise = torch.randn(len(chosen.direction), generator=torch.Generator().manual_seed(seed))
    noise = noise / noise.norm() * chosen.direction.norm()

    def add(direction: Tensor) -> AddDirection:
        return AddDirection(
            layer=chosen.layer, direction=direction, strength=chosen.strength, positions="answer"
        )

    stopped = _effect(planted, [out], alone, seed)
    return Unwatched(
        organism=name,
        held_out=held_out,
        unwatched=stopped.plain,
        watched=_rate(planted, observed),
        plain=_rate(planted, plain),
        layer=chosen.layer,
        strength=chosen.strength,
        area=auroc_of(ends[0].numpy(), ends[1].numpy()),
        stopped=stopped,
        random_stopped=_effect(
            planted,
            [AblateDirections(layer=chosen.layer, directions=noise[None], centre=chosen.centre)],
            alone,
            seed,
        ),
        woken=_effect(planted, [add(chosen.direction)], plain, seed),
        random_woken=_effect(planted, [add(noise)], plain, seed),
    )


def _choose(planted: Planted, seen: TriggerSpec, watched: TriggerSpec, seed: int, count: int) -> _Chosen:
    """Layer and strength at which taking the direction out and adding it works best together."""
    alone = planted.with_trigger(seed, 4 * count, seen)
    observed = planted.with_trigger(seed, 4 * count, watched)
    layers = list(range(max(planted.loaded.layer_count - 1, 1)))
    with_it, without = (
        last_token_states(planted.loaded, planted.encode(p), layers) for p in (alone, observed)
    )
    few, plain = alone[:count], planted.clean(seed + 5, count)
    tried: list[tuple[float, _Chosen]] = []
    for layer in layers:
        direction = with_it[layer].mean(0) - without[layer].mean(0)
        centre = without[layer].mean(0)
        out = AblateDirections(layer=layer, directions=direction[None], centre=centre)
        stopped = _effect(planted, [out], few, seed)
        for strength in STRENGTHS:
            edit = AddDirection(layer=layer, direction=direction, strength=strength, positions="answer")
            woken = _effect(planted, [edit], plain, seed)
            gain = stopped.plain.value - stopped.steered.value + woken.steered.value
            tried.append((gain, _Chosen(layer, strength, direction, centre)))
    return max(tried, key=lambda entry: entry[0])[1]


def _effect(planted: Planted, edits: Sequence[Edit], prompts: Sequence[Prompt], seed: int) -> SteeringEffect:
    ordinary = [
        [*planted.material.encode(p), *planted.material.encode_answer(p.answer)]
        for p in ordinary_prompts(planted.material, seed + 77, 64)
    ]
    return measure_steering(
        planted.loaded,
        edits,
        prompts=planted.encode(prompts),
        shows=lambda i, text: shows(planted.spec.behaviour, prompts[i], text),
        ordinary=ordinary,
        new_tokens=planted.answer_tokens,
    )


def _rate(planted: Planted, prompts: Sequence[Prompt]) -> Share:
    hits = sum(planted.shown(prompts, planted.said(prompts)))
    return share_of(hits, len(prompts))
