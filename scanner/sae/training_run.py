"""Dictionaries for several layers of a model from one listening, each kept as it is trained, written and measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ..errors import UsageError
from ..model.hook_points import HookPoint
from ..model.subject import Subject
from ..progress import Progress, Stage
from .autoencoder import SparseAutoencoder
from .cross_entropy import SplicedLoss, spliced_loss
from .dictionaries import TRAINED_HERE, LayerDictionary
from .kept_layer import KeptLayer
from .listening import Spot, hear, split_rows
from .quality import measure_quality
from .recipe import TrainingRecipe
from .side_by_side import side_by_side
from .together import ALONE, Together
from .trainer import train_sae

MEASURED_ROWS = 64


class TrainedDictionary(NamedTuple):
    """One layer's dictionary, where it was written, and what it costs the model there.

    Attributes:
        dictionary: its quality is that on tokens of texts that were set aside.
        folder: the SAELens folder.
        loss: on held-out prompts.
        tokens: how many tokens the quality was measured on.
        prompts: how many prompts the loss was measured on.
    """

    dictionary: LayerDictionary
    folder: Path
    loss: SplicedLoss
    tokens: int
    prompts: int


def train_and_write(
    subject: Subject,
    layers: Sequence[int],
    recipe: TrainingRecipe,
    out: Path,
    progress: Progress,
    *,
    hook: HookPoint = "resid_post",
    together: Together = ALONE,
) -> list[TrainedDictionary]:
    """Train one SAE a layer and write each as a SAELens folder `layer_N` in `out`.

    Each training is kept in `out` while it runs and its folder is written as soon as it ends, so that a call that was
    stopped goes on where it was when it is made again, to the same dictionaries: layers that had finished are read,
    not trained. All figures are those on text that no dictionary learned from: quality on texts that were set aside,
    loss on held-out prompts that stand in none of the others.

    Args:
        together: the processes that train each dictionary; each listens to a share of the texts. The first one
            writes and measures.

    Returns:
        In the order of the layers, what was made; in the first process.

    Raises:
        UsageError: `out` keeps a training or a dictionary of another kind, or on other activations; or no held-out
            prompt is left to measure the loss on.
        CheckpointError: a dictionary in `out` is damaged.
    """
    layers = list(dict.fromkeys(layers))
    rows = together.first(split_rows(subject))
    prompts = rows.held_out[:MEASURED_ROWS]
    if not prompts:
        raise UsageError(
            "the loss is measured on held-out prompts that stand in no text that is learned from, got none "
            f"of {len(subject.held_out)}; give {'fewer' if subject.held_out else 'more'} --samples"
        )
    spots = [Spot(layer, hook) for layer in layers]
    learned = hear(subject, rows.learned[together.rank :: together.size], spots, progress)
    kept = {spot.layer: KeptLayer(out, spot.layer, recipe, learned[spot]) for spot in spots}
    writes = together.rank == 0
    finished = {layer: files.finished() if writes else None for layer, files in kept.items()}
    left = together.first([layer for layer, sae in finished.items() if sae is None])

    def train(layer: int, stage: Stage) -> SparseAutoencoder:
        files, sae = kept[layer], finished[layer]
        if sae is not None:
            files.forget_state()
            stage.advance(recipe.steps)
            return replace(sae, source=TRAINED_HERE)
        sae = train_sae(
            learned[Spot(layer, hook)], recipe, layer=layer, hook=hook, source=TRAINED_HERE, stage=stage,
            state=files.state, together=together,
        )  # fmt: skip
        if writes:
            files.finish(sae)
        return sae

    made = side_by_side(
        train, layers if writes else left, recipe.steps, progress,
        on=learned[spots[0]].device, one_by_one=together.size > 1,
    )  # fmt: skip
    if not writes:
        return []
    set_aside = hear(subject, rows.set_aside, spots, progress)
    trained = []
    with progress.stage("measuring what they cost the model", len(made)) as stage:
        for spot, sae in zip(spots, made, strict=True):
            heard = set_aside[spot]
            measured = LayerDictionary(
                layer=spot.layer, sae=sae, quality=measure_quality(sae, heard), hook=hook
            )
            loss = spliced_loss(subject.loaded, sae, spot.layer, prompts, hook=hook)
            trained.append(
                TrainedDictionary(measured, kept[spot.layer].folder, loss, len(heard), len(prompts))
            )
            stage.advance()
    return trained
