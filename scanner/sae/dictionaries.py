"""The dictionaries of one subject: trained on the spot on what it thinks, or loaded from a folder."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, cast, get_args

import torch
from torch import Tensor

from ..errors import UsageError
from ..findings import Dictionary
from ..model.activations import last_token_states, token_states
from ..model.hook_points import HookPoint, hook_modules
from ..model.loading import LoadedModel
from ..model.parallel import cores
from ..model.prompts import encode
from ..model.subject import Subject
from ..progress import Progress, Stage
from .autoencoder import SparseAutoencoder
from .fit import misfit
from .formats import saelens
from .hook_points import place
from .quality import SAEQuality, measure_quality
from .read import read_sae
from .recipe import TrainingRecipe
from .trainer import train_sae

RANDOM_ROWS, RANDOM_LENGTH = 160, 48
SAMPLE_LENGTH = 96
MEASURED_TOKENS = 8_192
RESIDUAL: Final[tuple[HookPoint, ...]] = ("resid_post",)
TRAINED_HERE = "trained on this model"


class Spot(NamedTuple):
    """Where in a model a dictionary reads."""

    layer: int
    hook: HookPoint


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
    subject: Subject,
    layers: Sequence[int],
    recipe: TrainingRecipe,
    progress: Progress,
    *,
    hook: HookPoint = "resid_post",
    keep: Path | None = None,
) -> tuple[list[LayerDictionary], int]:
    """One SAE a layer, trained on the subject's own activations.

    Args:
        keep: folder in which each training is kept as it goes, for a call that goes on after a kill.

    Returns:
        The dictionaries, and the number of tokens that were listened to.
    """
    listened = _listen(subject, [Spot(layer, hook) for layer in layers], progress)
    states = {spot.layer: heard for spot, heard in listened.items()}
    with progress.stage(
        f"training dictionaries at {len(layers)} layers", recipe.steps * len(layers)
    ) as stage:

        def train(layer: int) -> LayerDictionary:
            sae = train_sae(
                states[layer],
                recipe,
                layer=layer,
                hook=hook,
                source=TRAINED_HERE,
                stage=_Shared(stage),
                state=keep / f"layer_{layer}.state.safetensors" if keep is not None else None,
            )
            quality = measure_quality(sae, states[layer][:MEASURED_TOKENS])
            return LayerDictionary(layer=layer, sae=sae, quality=quality, hook=hook)

        # One training uses one core; on a GPU they would only wait for each other.
        workers = cores() if states[layers[0]].device.type == "cpu" else 1
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
    subject: Subject,
    folders: Sequence[Path],
    progress: Progress,
    *,
    layers: Sequence[int] | None = None,
    hooks: Collection[HookPoint] = RESIDUAL,
) -> tuple[list[LayerDictionary], int]:
    """SAEs from folders, each measured on the subject's own activations where it reads.

    What an SAE reads before a block is what the block in front of it gives, so it is used there.

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
    states = _listen(subject, [spot for spot, _ in read], progress)
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
        for hook, layers in _layers_by_hook(spots).items()
    }
    return [read[hook][layer] for layer, hook in spots]


def _layers_by_hook(spots: Sequence[Spot]) -> dict[HookPoint, list[int]]:
    found: dict[HookPoint, list[int]] = defaultdict(list)
    for layer, hook in spots:
        found[hook].append(layer)
    return found


def save_dictionary(dictionary: LayerDictionary, folder: Path) -> None:
    """Write the SAE as a SAELens folder."""
    saelens.write(dictionary.sae, folder)


def _listen(subject: Subject, spots: Sequence[Spot], progress: Progress) -> dict[Spot, Tensor]:
    rows = listening_rows(subject)
    parts: dict[Spot, list[Tensor]] = {spot: [] for spot in spots}
    by_hook = _layers_by_hook(list(parts))
    with progress.stage("listening inside the model", len(rows) * len(by_hook)) as stage:
        for hook, layers in by_hook.items():
            for _, position, states in token_states(subject.loaded, rows, layers, hook=hook):
                inner = position > 0  # the first token's residual is an outlier that says nothing
                for layer in layers:
                    parts[Spot(layer, hook)].append(states[layer][inner])
                stage.advance(min(64, len(rows)))
    shuffle = torch.randperm(
        sum(len(p) for p in parts[spots[0]]), generator=torch.Generator().manual_seed(subject.seed)
    )
    return {spot: torch.cat(pieces)[shuffle] for spot, pieces in parts.items()}
