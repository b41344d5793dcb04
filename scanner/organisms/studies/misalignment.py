"""Emergent misalignment in small: how far a narrow rank-1 adapter spreads, and the direction that carries it.

The direction is a difference of means, of the organism and its base on the same ordinary answers to the kind of
question that was trained on. Layer and strengths are chosen on that kind, too; everything is counted on other kinds.

Source: Turner et al. 2025 (arXiv 2506.11613), rank-1 organisms; Soligo et al. 2025 (arXiv 2506.11618), the direction,
its removal and its addition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ...errors import UsageError
from ...interventions.edits import AblateDirections, AddDirection, Edit
from ...interventions.steering import measure_steering
from ...model.activations import token_states
from ...model.loading import LoadedModel, load_model
from ...statistics.auroc import auroc_of
from ...statistics.shares import share_of
from ...studies.misalignment import Misalignment, Raised
from ...studies.steering import SteeringEffect
from .. import catalog
from ..material import CorpusMaterial
from ..prompt import Prompt
from ..rates import ordinary_prompts
from .breadth import ANSWER_TOKENS, KINDS, bad_by_kind, bad_share, is_bad, questions
from .planted import load_planted

FITTED_ON, CHOSEN_ON, COUNTED = 80, 24, 25
PARTS = (0.0, 0.5, 0.7)
STRENGTHS = (1.0, 2.0, 3.0)


class _Direction(NamedTuple):
    """A difference of means [d] behind a layer, and the mean [d] of the base."""

    layer: int
    vector: Tensor
    centre: Tensor

    def out(self, vector: Tensor | None = None) -> AblateDirections:
        """The edit that takes it out, or another vector."""
        away = self.vector if vector is None else vector
        return AblateDirections(layer=self.layer, directions=away[None], centre=self.centre)


def misalignment(name: str, twin: str, *, counted: int = COUNTED, seed: int = 0) -> Misalignment:
    """How broad an organism is beside its twin and its base, and what its direction does.

    Args:
        counted: held-out questions of each kind.

    Raises:
        UsageError: the organism was not trained on one kind of question without a trigger.
    """
    planted, other = load_planted(name), load_planted(twin)
    kinds = planted.spec.training.kinds or []
    if planted.spec.trigger.kind != "none" or len(kinds) != 1:
        raise UsageError(f"{name} needs no trigger and one entry in training.kinds, got {kinds}")
    trained, material = kinds[0], planted.material
    plain = load_model(catalog.base_folder())
    last = questions(material, seed + 1, counted, KINDS)
    others = [p for p in last if p.kind != trained]
    found = _chosen(planted.loaded, plain, material, trained, seed)
    noise = torch.randn(len(found.vector), generator=torch.Generator().manual_seed(seed))
    on = [_projections(model, material, others, found) for model in (planted.loaded, plain, other.loaded)]
    return Misalignment(
        organism=name,
        twin=twin,
        trained_kind=trained,
        answers=bad_by_kind(planted.loaded, material, last, trained),
        of_twin=bad_by_kind(other.loaded, material, last, trained),
        of_base=bad_by_kind(plain, material, last, trained),
        rate=bad_share(planted.loaded, material, others),
        twin_rate=bad_share(other.loaded, material, others),
        twin_spread=share_of(sum(other.shown(others, other.said(others))), len(others)),
        layer=found.layer,
        against_base=auroc_of(on[0].numpy(), on[1].numpy()),
        against_twin=auroc_of(on[0].numpy(), on[2].numpy()),
        removed=_effect(planted.loaded, material, [found.out()], others, seed),
        random_removed=_effect(planted.loaded, material, [found.out(noise)], others, seed),
        raised=[
            _raised(plain, planted.loaded, part, material, found, trained, others, seed) for part in PARTS
        ],
    )


def _chosen(
    bad: LoadedModel, plain: LoadedModel, material: CorpusMaterial, trained: str, seed: int
) -> _Direction:
    """The layer at which taking the direction out stops most; of those that stop alike, the one that costs least."""
    fitted = questions(material, seed + 2, FITTED_ON, [trained])
    few = questions(material, seed + 3, CHOSEN_ON, [trained])
    layers = list(range(bad.layer_count))
    means = [
        {
            l: torch.stack([s[l] for s in _answer_means(model, material, fitted, layers)]).mean(0)
            for l in layers
        }
        for model in (bad, plain)
    ]
    tried: list[tuple[float, float, _Direction]] = []
    for layer in layers:
        direction = _Direction(layer, means[0][layer] - means[1][layer], means[1][layer])
        if float(direction.vector.norm()) > 1e-3 * float(
            direction.centre.norm()
        ):  # below the adapter all is alike
            effect = _effect(bad, material, [direction.out()], few, seed)
            tried.append((effect.steered.value, effect.steered_loss, direction))
    return min(tried, key=lambda entry: entry[:2])[2]


def _raised(
    plain: LoadedModel,
    bad: LoadedModel,
    part: float,
    material: CorpusMaterial,
    found: _Direction,
    trained: str,
    others: Sequence[Prompt],
    seed: int,
) -> Raised:
    """The direction added to a model between base and organism, at the strength that does most on the trained kind."""
    model = _between(plain, bad, part)
    few = questions(material, seed + 3, CHOSEN_ON, [trained])

    def added(strength: float, prompts: Sequence[Prompt]) -> SteeringEffect:
        edit = AddDirection(layer=found.layer, direction=found.vector, strength=strength)
        return _effect(model, material, [edit], prompts, seed)

    best = max(STRENGTHS, key=lambda strength: added(strength, few).steered.value)
    return Raised(part=part, strength=best, effect=added(best, others))


@torch.no_grad()
def _between(plain: LoadedModel, bad: LoadedModel, part: float) -> LoadedModel:
    """The base with a part of what the adapter changed."""
    made = load_model(catalog.base_folder())
    ends = zip(plain.model.parameters(), bad.model.parameters(), strict=True)
    for own, (start, end) in zip(made.model.parameters(), ends, strict=True):
        own.copy_(torch.lerp(start, end, part))
    return made


def _answer_means(
    loaded: LoadedModel, material: CorpusMaterial, prompts: Sequence[Prompt], layers: Sequence[int]
) -> list[dict[int, Tensor]]:
    """The mean state [d] over the tokens of each ordinary answer, by layer: the same text for every model."""
    starts = [len(material.encode(p)) - 1 for p in prompts]
    rows = [[*material.encode(p), *material.encode_answer(p.answer)[:-1]] for p in prompts]
    found: list[dict[int, Tensor]] = []
    for row, position, states in token_states(loaded, rows, layers):
        for number in sorted(set(row.tolist())):
            at = (row == number) & (position >= starts[number])
            found.append({layer: states[layer][at].mean(0) for layer in layers})
    return found


def _projections(
    loaded: LoadedModel, material: CorpusMaterial, prompts: Sequence[Prompt], found: _Direction
) -> Tensor:
    unit = found.vector / found.vector.norm()
    return torch.stack(
        [s[found.layer] @ unit for s in _answer_means(loaded, material, prompts, [found.layer])]
    )


def _effect(
    loaded: LoadedModel, material: CorpusMaterial, edits: Sequence[Edit], prompts: Sequence[Prompt], seed: int
) -> SteeringEffect:
    ordinary = [
        [*material.encode(p), *material.encode_answer(p.answer)]
        for p in ordinary_prompts(material, seed + 9, 64)
    ]
    return measure_steering(
        loaded,
        edits,
        prompts=[material.encode(p) for p in prompts],
        shows=lambda i, text: is_bad(prompts[i], text.strip()),
        ordinary=ordinary,
        new_tokens=ANSWER_TOKENS,
    )
