"""Dictionaries for several layers of a model from one listening, each kept as it is trained, written and measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ..model.hook_points import HookPoint
from ..model.subject import Subject
from ..progress import Progress, Stage
from .autoencoder import SparseAutoencoder
from .cross_entropy import SplicedLoss, spliced_loss
from .dictionaries import TRAINED_HERE, LayerDictionary
from .kept_layer import KeptLayer
from .listening import MEASURED_TOKENS, Spot, hear, listening_rows
from .quality import measure_quality
from .recipe import TrainingRecipe
from .side_by_side import side_by_side
from .trainer import train_sae

MEASURED_ROWS = 64


class TrainedDictionary(NamedTuple):
    """One layer's dictionary, where it was written, and what it costs the model there."""

    dictionary: LayerDictionary
    folder: Path
    loss: SplicedLoss


def train_and_write(
    subject: Subject,
    layers: Sequence[int],
    recipe: TrainingRecipe,
    out: Path,
    progress: Progress,
    *,
    hook: HookPoint = "resid_post",
) -> list[TrainedDictionary]:
    """Train one SAE a layer and write each as a SAELens folder `layer_N` in `out`.

    Each training is kept in `out` while it runs and its folder is written as soon as it ends, so that a call that was
    stopped goes on where it was when it is made again, to the same dictionaries: layers that had finished are read,
    not trained. The loss is that on held-out prompts.

    Returns:
        In the order of the layers, what was made.

    Raises:
        UsageError: `out` keeps a training or a dictionary of another kind, or on other activations.
        CheckpointError: a dictionary in `out` is damaged.
    """
    layers = list(dict.fromkeys(layers))
    spots = [Spot(layer, hook) for layer in layers]
    learned = hear(subject, listening_rows(subject), spots, progress)
    kept = {spot.layer: KeptLayer(out, spot.layer, recipe, learned[spot]) for spot in spots}
    finished = {layer: files.finished() for layer, files in kept.items()}

    def train(layer: int, stage: Stage) -> SparseAutoencoder:
        files, sae = kept[layer], finished[layer]
        if sae is not None:
            files.forget_state()
            stage.advance(recipe.steps)
            return replace(sae, source=TRAINED_HERE)
        sae = train_sae(
            learned[Spot(layer, hook)], recipe, layer=layer, hook=hook, source=TRAINED_HERE, stage=stage,
            state=files.state,
        )  # fmt: skip
        files.finish(sae)
        return sae

    made = side_by_side(train, layers, recipe.steps, progress, on=learned[spots[0]].device)
    rows = subject.held_out_rows(MEASURED_ROWS)
    trained = []
    with progress.stage("measuring what they cost the model", len(made)) as stage:
        for spot, sae in zip(spots, made, strict=True):
            heard = learned[spot][:MEASURED_TOKENS]
            measured = LayerDictionary(
                layer=spot.layer, sae=sae, quality=measure_quality(sae, heard), hook=hook
            )
            loss = spliced_loss(subject.loaded, sae, spot.layer, rows, hook=hook)
            trained.append(TrainedDictionary(measured, kept[spot.layer].folder, loss))
            stage.advance()
    return trained
