"""The dictionaries of one subject: trained on the spot on what it thinks, or loaded from a folder."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast, get_args

from torch import Tensor

from ..errors import UsageError
from ..findings import Dictionary
from ..model.activations import last_token_states
from ..model.hook_points import HookPoint, hook_modules
from ..model.loading import LoadedModel
from ..model.subject import Subject
from ..progress import Progress, Stage
from .autoencoder import SparseAutoencoder
from .fit import misfit
from .formats import saelens
from .hook_points import place
from .listening import MEASURED_TOKENS, Spot, hear, layers_by_hook, listening_rows
from .quality import SAEQuality, measure_quality
from .read import read_sae
from .recipe import TrainingRecipe
from .side_by_side import side_by_side
from .trainer import train_sae

TRAINED_HERE = "trained on this model"
RESIDUAL: Final[tuple[HookPoint, ...]] = ("resid_post",)


@dataclass(frozen=True, kw_only=True)
class LayerDictionary:
    """An SAE at one layer with how well it fits there."""

    layer: int
    sae: SparseAutoencoder
    quality: SAEQuality
    hook: HookPoint = "resid_post"

    @property
    def spot(self) -> Spot:
        """Where it reads."""
        return Spot(self.layer, self.hook)

    @property
    def misfit(self) -> str | None:
        """What says that it does not belong here, in one line; None where nothing does."""
        return misfit(self.sae, self.quality)

    @property
    def record(self) -> Dictionary:
        """As the result states it; where nothing varies, nothing is explained."""
        explained = self.quality.explained_variance
        return Dictionary(
            layer=self.layer, hook=self.hook, features=self.sae.feature_count, source=self.sae.source, l0=self.quality.l0,
            explained_variance=explained if math.isfinite(explained) else 0.0, live_share=self.quality.live_share,
        )  # fmt: skip


def train_dictionaries(
    subject: Subject,
    layers: Sequence[int],
    recipe: TrainingRecipe,
    progress: Progress,
    *,
    hook: HookPoint = "resid_post",
) -> tuple[list[LayerDictionary], int]:
    """One SAE a layer, trained on all of the subject's own activations.

    Its quality is that on `MEASURED_TOKENS` of the tokens that it learned from; `train_and_write` measures on others.

    Returns:
        The dictionaries, and the number of tokens that were listened to.
    """
    states = hear(subject, listening_rows(subject), [Spot(layer, hook) for layer in layers], progress)

    def train(layer: int, stage: Stage) -> LayerDictionary:
        heard = states[Spot(layer, hook)]
        sae = train_sae(heard, recipe, layer=layer, hook=hook, source=TRAINED_HERE, stage=stage)
        quality = measure_quality(sae, heard[:MEASURED_TOKENS])
        return LayerDictionary(layer=layer, sae=sae, quality=quality, hook=hook)

    made = side_by_side(train, layers, recipe.steps, progress, on=states[Spot(layers[0], hook)].device)
    return made, len(next(iter(states.values())))


def load_dictionaries(
    subject: Subject,
    folders: Sequence[Path],
    progress: Progress,
    *,
    layers: Sequence[int] | None = None,
    hooks: Collection[HookPoint] = RESIDUAL,
) -> tuple[list[LayerDictionary], int]:
    """SAEs from folders, each measured on the subject's own activations where it reads.

    Its quality is that on as many of the tokens that `train_dictionaries` learns from as it is measured on there: a
    dictionary that a scan trained and kept has the same figures when it is loaded. What an SAE reads before a block is
    what the block in front of it gives, so it is used there.

    Args:
        hooks: the hook points at which the caller can use a dictionary.

    Raises:
        UsageError: an SAE names no layer (and `layers` does not either), one that the model lacks,
            another width, or a hook point that is none of `hooks`.
    """
    read = []
    for i, folder in enumerate(folders):
        sae = read_sae(folder)
        hook, layer = _hook_and_layer(sae, folder, hooks)
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
        _check_module(subject.loaded, sae, Spot(layer, hook), folder)
        read.append((Spot(layer, hook), sae))
    states = hear(subject, listening_rows(subject), [spot for spot, _ in read], progress)
    made = [
        LayerDictionary(
            layer=spot.layer, hook=spot.hook, sae=sae,
            quality=measure_quality(sae, states[spot][:MEASURED_TOKENS]),
        )
        for spot, sae in read
    ]  # fmt: skip
    return made, len(next(iter(states.values())))


def _hook_and_layer(
    sae: SparseAutoencoder, folder: Path, hooks: Collection[HookPoint]
) -> tuple[HookPoint, int | None]:
    """Where it reads; the layer is None where it does not say."""
    site = place(sae.hook).site or "resid_post"
    if site == "resid_pre" and not sae.is_transcoder and sae.layer == 0:
        raise UsageError(
            f"{folder} reads the embedding before layer 0, but a scan listens behind a layer; "
            "give an SAE that was trained on resid_post"
        )
    if sae.is_transcoder or site not in {*hooks, "resid_pre"}:
        what = (
            f"is a transcoder from {sae.hook} to {sae.hook_out}" if sae.is_transcoder else f"reads {sae.hook}"
        )
        at = " or ".join(hook for hook in get_args(HookPoint) if hook in hooks)
        raise UsageError(f"{folder} {what}, but SAEs are used at {at} here; give one that was trained there")
    if site == "resid_pre":
        return "resid_post", None if sae.layer is None else sae.layer - 1
    return cast(HookPoint, site), sae.layer


def _check_module(loaded: LoadedModel, sae: SparseAutoencoder, spot: Spot, folder: Path) -> None:
    """A hook point named as a module is that module's output: before a norm behind it, say, it is another."""
    if spot.hook == "resid_post":
        return
    path = sae.hook.removesuffix(".output")
    named = [m for name, m in loaded.model.named_modules() if f".{name}".endswith(f".{path}")]
    if named and hook_modules(loaded, spot.hook)[spot.layer] not in named:
        raise UsageError(
            f"{folder} reads {sae.hook}, which this model puts through a norm before it is {spot.hook}; "
            f"give an SAE that was trained on {spot.hook}"
        )


def last_states(
    loaded: LoadedModel, rows: Sequence[Sequence[int]], dictionaries: Sequence[LayerDictionary]
) -> list[Tensor]:
    """What each dictionary reads at the last token of each row: one [rows, d] a dictionary, float32 on the CPU."""
    spots = [d.spot for d in dictionaries]
    read = {
        hook: last_token_states(loaded, rows, layers, hook=hook)
        for hook, layers in layers_by_hook(spots).items()
    }
    return [read[hook][layer] for layer, hook in spots]


def save_dictionary(dictionary: LayerDictionary, folder: Path) -> None:
    """Write the SAE as a SAELens folder."""
    saelens.write(dictionary.sae, folder)
