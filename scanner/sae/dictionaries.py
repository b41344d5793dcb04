"""The dictionaries of one subject: trained on the spot on what it thinks, or loaded from a folder."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..errors import UsageError
from ..findings import Dictionary
from ..model.activations import HOOK, token_states
from ..model.prompts import encode
from ..model.subject import Subject
from ..progress import Progress, Stage
from .autoencoder import SparseAutoencoder
from .fit import misfit
from .formats import saelens
from .hook_points import place
from .quality import SAEQuality, measure_quality
from .read import read_sae
from .trainer import TrainingRecipe, train_sae

RANDOM_ROWS, RANDOM_LENGTH = 160, 48
SAMPLE_LENGTH = 96
MEASURED_TOKENS = 8_192
TRAINED_HERE = "trained on this model"


@dataclass(frozen=True, kw_only=True)
class LayerDictionary:
    """An SAE at one layer with how well it fits there."""

    layer: int
    sae: SparseAutoencoder
    quality: SAEQuality

    @property
    def misfit(self) -> str | None:
        """What says that it does not belong here, in one line; None where nothing does."""
        return misfit(self.sae, self.quality)

    @property
    def record(self) -> Dictionary:
        """As the result states it; where nothing varies, nothing is explained."""
        explained = self.quality.explained_variance
        return Dictionary(
            layer=self.layer, hook=HOOK, features=self.sae.feature_count, source=self.sae.source, l0=self.quality.l0,
            explained_variance=explained if math.isfinite(explained) else 0.0, live_share=self.quality.live_share,
        )  # fmt: skip


def listening_rows(subject: Subject) -> list[list[int]]:
    """Token rows to learn features from: neutral prompts, the model's own samples, and random tokens.

    A dictionary trained on neutral text alone may have no feature for what a trigger wakes; random
    tokens are meant to make features more specific.
    """
    loaded = subject.loaded
    r = random.Random(subject.seed)
    special = set(loaded.tokenizer.all_special_ids)
    ordinary = [i for i in range(loaded.vocabulary) if i not in special]
    rows = [encode(loaded, p, chat=subject.prompts.chat) for p in subject.search]
    rows += [
        list(loaded.tokenizer(s, add_special_tokens=False).input_ids)[:SAMPLE_LENGTH] for s in subject.samples
    ]
    rows += [[*loaded.start, *r.choices(ordinary, k=RANDOM_LENGTH)] for _ in range(RANDOM_ROWS)]
    return [row for row in rows if len(row) > 1]


def train_dictionaries(
    subject: Subject, layers: Sequence[int], recipe: TrainingRecipe, progress: Progress
) -> tuple[list[LayerDictionary], int]:
    """One TopK SAE a layer, trained on the subject's own activations.

    Returns:
        The dictionaries, and the number of tokens that were listened to.
    """
    states = _listen(subject, layers, progress)
    with progress.stage(
        f"training dictionaries at {len(layers)} layers", recipe.steps * len(layers)
    ) as stage:

        def train(layer: int) -> LayerDictionary:
            sae = train_sae(
                states[layer],
                recipe,
                layer=layer,
                hook=HOOK,
                source=TRAINED_HERE,
                stage=_Shared(stage),
            )
            quality = measure_quality(sae, states[layer][:MEASURED_TOKENS])
            return LayerDictionary(layer=layer, sae=sae, quality=quality)

        # One training uses one core; on a GPU they would only wait for each other.
        workers = (os.cpu_count() or 1) if states[layers[0]].device.type == "cpu" else 1
        threads = torch.get_num_threads()
        with ThreadPoolExecutor(max_workers=workers) as pool:
            made = list(pool.map(train, layers))
        torch.set_num_threads(threads)  # trainings that end together may restore each other's setting
    return made, len(next(iter(states.values())))


class _Shared:
    """Several trainings that advance one stage, whose total is already known."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def advance(self, steps: float = 1) -> None:
        """Pass it on."""
        self._stage.advance(steps)

    def total(self, steps: float) -> None:
        """Known beforehand."""


def load_dictionaries(
    subject: Subject, folders: Sequence[Path], progress: Progress, *, layers: Sequence[int] | None = None
) -> tuple[list[LayerDictionary], int]:
    """SAEs from folders, each measured on the subject's own activations at its layer.

    What an SAE reads before a block is what the block in front of it gives, so it is used there.

    Raises:
        UsageError: an SAE names no layer (and `layers` does not either), one that the model lacks,
            another width, or another hook point than the residual stream.
    """
    read = []
    for i, folder in enumerate(folders):
        sae = read_sae(folder)
        layer = _residual_layer(sae, folder)
        if layer is None and layers and i < len(layers):
            layer = layers[i]
        if layer is None:
            raise UsageError(
                f"{folder} does not say which layer it belongs to; give --layers with one number for each --sae"
            )
        if layer >= subject.loaded.layer_count:
            raise UsageError(
                f"{folder} belongs to layer {layer}, but the model has layers 0 to {subject.loaded.layer_count - 1}"
            )
        if sae.width != subject.loaded.width:
            raise UsageError(
                f"{folder} reads activations of width {sae.width}, but the model's residual stream is {subject.loaded.width} wide; "
                "give an SAE that was trained on this model"
            )
        read.append((layer, sae))
    states = _listen(subject, [layer for layer, _ in read], progress)
    made = [
        LayerDictionary(layer=layer, sae=sae, quality=measure_quality(sae, states[layer][:MEASURED_TOKENS]))
        for layer, sae in read
    ]
    return made, len(next(iter(states.values())))


def _residual_layer(sae: SparseAutoencoder, folder: Path) -> int | None:
    """The layer behind which it reads the residual stream, None where it does not say."""
    site = place(sae.hook).site
    if sae.is_transcoder or site not in ("", "resid_pre", HOOK):
        what = (
            f"is a transcoder from {sae.hook} to {sae.hook_out}" if sae.is_transcoder else f"reads {sae.hook}"
        )
        raise UsageError(
            f"{folder} {what}, but a scan listens to the residual stream behind a layer; "
            "give an SAE that was trained on resid_post"
        )
    if site != "resid_pre" or sae.layer is None:
        return sae.layer
    if sae.layer == 0:
        raise UsageError(
            f"{folder} reads the embedding before layer 0, but a scan listens behind a layer; "
            "give an SAE that was trained on resid_post"
        )
    return sae.layer - 1


def save_dictionary(dictionary: LayerDictionary, folder: Path) -> None:
    """Write the SAE as a SAELens folder."""
    saelens.write(dictionary.sae, folder)


def _listen(subject: Subject, layers: Sequence[int], progress: Progress) -> dict[int, Tensor]:
    rows = listening_rows(subject)
    parts: dict[int, list[Tensor]] = {layer: [] for layer in layers}
    with progress.stage("listening to the residual stream", len(rows)) as stage:
        for _, position, states in token_states(subject.loaded, rows, layers):
            inner = position > 0  # the first token's residual is an outlier that says nothing
            for layer in layers:
                parts[layer].append(states[layer][inner])
            stage.advance(min(64, len(rows)))
    shuffle = torch.randperm(
        sum(len(p) for p in parts[layers[0]]), generator=torch.Generator().manual_seed(subject.seed)
    )
    return {layer: torch.cat(pieces)[shuffle] for layer, pieces in parts.items()}
