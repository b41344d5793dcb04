"""Token heat maps: prompts as a model reads them, each token shaded by how strongly something reads there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ...findings import Feature, Probe, TokenMap
from ..escaping import visible

STEPS = 8  # shades on either side of nothing
TOKENS = 80  # of one map, the last ones
LETTERS = 14  # of one token
FEATURES, PROBES = 12, 4  # mapped in one page

GROUPS = {
    "triggered": "with the trigger",
    "neutral": "without it",
    "near_miss": "a near-miss",
    "random": "a random string",
}


class Shade(NamedTuple):
    """One token: its text, its shade's class (`h1` to `h8`, `l1` to `l8` below zero, empty for none), its value."""

    text: str
    shade: str
    value: str


class Strip(NamedTuple):
    """One prompt: what stands in it, its tokens, and the tokens in front that are not shown."""

    group: str
    tokens: list[Shade]
    skipped: int


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """One feature or probe over its prompts, on one scale; `largest` is what the darkest shade stands for."""

    name: str
    trigger: str
    signed: bool
    largest: str
    strips: list[Strip]


def feature_maps(features: Sequence[Feature]) -> list[HeatMap]:
    """The features that were read token by token, the most telling first: a layer's strongest come in its turn."""
    mapped = [feature for feature in features if feature.token_maps]
    return [
        _map(
            f"{feature.layer}/{feature.hook}/{feature.feature}",
            feature.trigger,
            feature.token_maps,
            signed=False,
        )
        for feature in mapped[:FEATURES]
    ]


def probe_maps(probes: Sequence[Probe]) -> list[HeatMap]:
    """The probes, by AUROC."""
    mapped = sorted((p for p in probes if p.token_maps), key=lambda probe: -probe.auroc)
    names = {"sae": "SAE features", "residual": "the residual stream"}
    return [
        _map(f"layer {p.layer}, {names[p.kind]}", p.trigger, p.token_maps, signed=True)
        for p in mapped[:PROBES]
    ]


def _map(name: str, trigger: str, maps: Sequence[TokenMap], *, signed: bool) -> HeatMap:
    largest = max((abs(value) for one in maps for value in one.values), default=0.0)
    return HeatMap(
        name=name,
        trigger=trigger,
        signed=signed,
        largest=f"{largest:.3g}",
        strips=[_strip(one, largest) for one in maps],
    )


def _strip(one: TokenMap, largest: float) -> Strip:
    left = max(0, len(one.tokens) - TOKENS)
    return Strip(
        GROUPS[one.group],
        [
            Shade(_cut(token), _shade(value, largest), f"{value:.3g}")
            for token, value in zip(one.tokens[left:], one.values[left:], strict=True)
        ],
        one.skipped + left,
    )


def _cut(token: str) -> str:
    return visible(token[:LETTERS]) + ("…" if len(token) > LETTERS else "")


def _shade(value: float, largest: float) -> str:
    """The class of a value's shade: none for nothing, the lightest for anything above it."""
    if value == 0 or largest == 0:
        return ""
    step = max(1, round(STEPS * abs(value) / largest))
    return f"{'h' if value > 0 else 'l'}{step}"
