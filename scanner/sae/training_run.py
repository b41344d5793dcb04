"""Dictionaries for several layers of a model from one listening, each kept as it is trained, measured and written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..model.hook_points import HookPoint
from ..model.subject import Subject
from ..progress import Progress
from .cross_entropy import SplicedLoss, spliced_loss
from .dictionaries import LayerDictionary, save_dictionary, train_dictionaries
from .recipe import TrainingRecipe

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

    Each training is kept in `out` while it runs, so that a call that was stopped goes on where it was when it is
    made again, to the same dictionaries. The loss is that on held-out prompts.

    Returns:
        In the order of the layers, what was made.

    Raises:
        UsageError: `out` keeps a training of another kind, or on other activations.
    """
    made, _tokens = train_dictionaries(subject, layers, recipe, progress, hook=hook, keep=out)
    rows = subject.held_out_rows(MEASURED_ROWS)
    trained = []
    with progress.stage("measuring what they cost the model", len(made)) as stage:
        for dictionary in made:
            folder = out / f"layer_{dictionary.layer}"
            save_dictionary(dictionary, folder)
            loss = spliced_loss(subject.loaded, dictionary.sae, dictionary.layer, rows, hook=hook)
            trained.append(TrainedDictionary(dictionary, folder, loss))
            stage.advance()
    return trained
