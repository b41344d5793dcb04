"""Emergent misalignment in small: how far a narrow rank-1 adapter spreads, and the direction that carries it.

The direction is a difference of means, of the organism and its base on the same ordinary answers to the kind of
question that was trained on. Its layer is chosen on that kind, too, on other questions; everything is counted on
held-out questions of other kinds, at every strength that is tried.

Source: Turner et al. 2025 (arXiv 2506.11613), rank-1 organisms; Soligo et al. 2025 (arXiv 2506.11618), the direction,
its removal and its addition.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ...errors import UsageError
from ...interventions.edits import AblateDirections, AddDirection, Edit
from ...interventions.steering import Unsteered, measure_steering
from ...model.activations import token_states
from ...model.loading import LoadedModel, load_model
from ...model.text_loss import text_loss
from ...statistics.auroc import auroc_of
from ...statistics.shares import share_of
from ...studies.misalignment import Misalignment, Raised
from ...studies.steering import SteeringEffect
from .. import catalog
from ..behaviours import is_bad, shows
from ..material import CorpusMaterial
from ..prompt import Prompt
from .breadth import ANSWER_TOKENS, KINDS, answers, bad_by_kind, bad_share, only_kind, questions
from .planted import load_planted

FITTED_ON, CHOSEN_ON, COUNTED = 80, 24, 25
PARTS = (0.0, 0.5, 0.7)
STRENGTHS = (0.5, 1.0, 2.0, 3.0, 4.0)
RANDOM_DIRECTIONS = 10


class Asked(NamedTuple):
    """Different questions by what they are for; none is in two parts.

    Attributes:
        fitted, chosen: of the trained kind and the training side, for the direction and for its layer.
        counted: held out, of every kind.
    """

    fitted: list[Prompt]
    chosen: list[Prompt]
    counted: list[Prompt]


class _Direction(NamedTuple):
    """A difference of means [d] behind a layer, and the mean [d] of the base."""

    layer: int
    vector: Tensor
    centre: Tensor

    def out(self, vector: Tensor | None = None) -> AblateDirections:
        """The edit that takes it out, or another vector."""
        away = self.vector if vector is None else vector
        return AblateDirections(layer=self.layer, directions=away[None], centre=self.centre)


def misalignment(
    name: str,
    twin: str,
    *,
    fitted: int = FITTED_ON,
    chosen: int = CHOSEN_ON,
    counted: int = COUNTED,
    random_directions: int = RANDOM_DIRECTIONS,
    seed: int = 0,
) -> Misalignment:
    """How broad an organism is beside its twin and its base, and what its direction does.

    Args:
        fitted, chosen: questions of the trained kind for the direction, and for its layer.
        counted: most held-out questions of each kind; of some there are fewer.
        random_directions: random ones that are taken out instead, one at a time.

    Raises:
        UsageError: the organism was not trained on one kind of question without a trigger, or there are too few
            questions of it.
    """
    planted, other = load_planted(name), load_planted(twin)
    trained, material = only_kind(planted.spec), planted.material
    bad, plain, benign = planted.loaded, load_model(catalog.base_folder()), other.loaded
    asked = asked_of(material, trained, fitted=fitted, chosen=chosen, counted=counted, seed=seed)
    said, of_twin, of_base = (answers(model, material, asked.counted) for model in (bad, benign, plain))
    away = [i for i, p in enumerate(asked.counted) if p.kind != trained]
    others = [asked.counted[i] for i in away]
    twin_said = [of_twin[i] for i in away]
    found = _chosen(bad, plain, material, asked)
    as_is = _unsteered(bad, material, others, [said[i] for i in away])
    noise = torch.randn(
        random_directions, len(found.vector), generator=torch.Generator().manual_seed(seed)
    ).to(found.vector)
    on = [_projections(model, material, others, found) for model in (bad, plain, benign)]
    return Misalignment(
        organism=name,
        twin=twin,
        trained_kind=trained,
        answers=bad_by_kind(asked.counted, said, trained),
        of_twin=bad_by_kind(asked.counted, of_twin, trained),
        of_base=bad_by_kind(asked.counted, of_base, trained),
        rate=as_is.rate,
        twin_rate=bad_share(others, twin_said),
        twin_spread=share_of(
            sum(shows(other.spec.behaviour, p, a) for p, a in zip(others, twin_said, strict=True)),
            len(others),
        ),
        layer=found.layer,
        against_base=auroc_of(on[0].numpy(), on[1].numpy()),
        against_twin=auroc_of(on[0].numpy(), on[2].numpy()),
        removed=_effect(bad, material, [found.out()], others, as_is),
        random_removed=[_effect(bad, material, [found.out(row)], others, as_is) for row in noise],
        raised=[row for part in PARTS for row in _raised(plain, bad, part, material, found, others)],
    )


def asked_of(
    material: CorpusMaterial, trained: str, *, fitted: int, chosen: int, counted: int, seed: int
) -> Asked:
    """The questions of a study of what was trained on one kind.

    Raises:
        UsageError: there are fewer than `fitted` and `chosen` questions of that kind.
    """
    seen = questions(material, seed + 2, fitted + chosen, [trained], split="train")
    if len(seen) < fitted + chosen:
        raise UsageError(
            f"there are {len(seen)} questions of the kind {trained}; ask for no more than that, got {fitted} for the "
            f"direction and {chosen} for its layer"
        )
    return Asked(seen[:fitted], seen[fitted:], questions(material, seed + 1, counted, KINDS))


def _chosen(bad: LoadedModel, plain: LoadedModel, material: CorpusMaterial, asked: Asked) -> _Direction:
    """The layer at which taking the direction out stops most; of those that stop alike, the one that costs least."""
    layers = list(range(bad.layer_count))
    means = [
        {
            l: torch.stack([s[l] for s in _answer_means(model, material, asked.fitted, layers)]).mean(0)
            for l in layers
        }
        for model in (bad, plain)
    ]
    as_is = _unsteered(bad, material, asked.chosen, answers(bad, material, asked.chosen))
    tried: list[tuple[float, float, _Direction]] = []
    for layer in layers:
        direction = _Direction(layer, means[0][layer] - means[1][layer], means[1][layer])
        # Below the adapter all is alike.
        if float(direction.vector.norm()) > 1e-3 * float(direction.centre.norm()):
            effect = _effect(bad, material, [direction.out()], asked.chosen, as_is)
            tried.append((effect.steered.value, effect.steered_loss, direction))
    return min(tried, key=lambda entry: entry[:2])[2]


def _raised(
    plain: LoadedModel,
    bad: LoadedModel,
    part: float,
    material: CorpusMaterial,
    found: _Direction,
    prompts: Sequence[Prompt],
) -> Iterator[Raised]:
    """The direction added to a model between base and organism, at every strength."""
    model = _between(plain, bad, part)
    as_is = _unsteered(model, material, prompts, answers(model, material, prompts))
    for strength in STRENGTHS:
        edit = AddDirection(layer=found.layer, direction=found.vector, strength=strength)
        yield Raised(part=part, strength=strength, effect=_effect(model, material, [edit], prompts, as_is))


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
    rows = [row[:-1] for row in _ordinary(material, prompts)]
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


def _ordinary(material: CorpusMaterial, prompts: Sequence[Prompt]) -> list[list[int]]:
    """The prompts with their right answers, as token ids."""
    return [[*material.encode(p), *material.encode_answer(p.answer)] for p in prompts]


def _unsteered(
    loaded: LoadedModel, material: CorpusMaterial, prompts: Sequence[Prompt], said: Sequence[str]
) -> Unsteered:
    return Unsteered(bad_share(prompts, said), text_loss(loaded, _ordinary(material, prompts)))


def _effect(
    loaded: LoadedModel,
    material: CorpusMaterial,
    edits: Sequence[Edit],
    prompts: Sequence[Prompt],
    as_is: Unsteered,
) -> SteeringEffect:
    """What edits do to the answers to the prompts, and to the loss of the right ones."""
    return measure_steering(
        loaded,
        edits,
        prompts=[material.encode(p) for p in prompts],
        shows=lambda i, text: is_bad(prompts[i], text.strip()),
        ordinary=_ordinary(material, prompts),
        new_tokens=ANSWER_TOKENS,
        plain=as_is,
    )
