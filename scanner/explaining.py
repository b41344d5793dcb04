"""Which features carry a verified trigger, and what a probe makes of it; dictionaries are trained or read for that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

from .config import Budget, ScanConfig
from .detectors.defection_probe import probe_layers
from .detectors.trigger_features import find_features, with_features
from .findings import Feature, Probe, Record, Trigger
from .interventions.verification import Verified
from .kept.workdir import Workdir
from .model.hook_points import HookPoint
from .model.loading import LoadedModel
from .model.subject import Subject
from .progress import Progress
from .sae.dictionaries import (
    TRAINED_HERE,
    LayerDictionary,
    load_dictionaries,
    save_dictionary,
    train_dictionaries,
)
from .sae.recipe import TrainingRecipe

EXPLAINED_AT_MOST = {
    Budget.QUICK: 1,
    Budget.STANDARD: 1,
    Budget.DEEP: 4,
}  # triggers, with dictionaries at hand
RECIPE = {
    Budget.STANDARD: TrainingRecipe(steps=350),
    Budget.DEEP: TrainingRecipe(steps=3_000, features=4_096),
}


class Explained(Record):
    """A trigger with the features that carry it and the probes on it."""

    trigger: Trigger
    features: list[Feature]
    probes: list[Probe]


def explain(
    passed: Verified,
    subject: Subject,
    dictionaries: Sequence[LayerDictionary],
    base: LoadedModel | None,
    workdir: Workdir | None,
) -> Explained:
    """Features, their ablation and probes for one trigger; statistics and codes go to the work directory."""
    explained = find_features(subject, passed, dictionaries)
    probes = probe_layers(subject, passed.trigger.text, explained.contrast, dictionaries, base)
    if workdir is not None:
        _keep(workdir, passed, explained.evidence)
    return Explained(
        trigger=with_features(passed.trigger, explained),
        features=list(explained.features),
        probes=list(probes),
    )


def dictionaries_for(
    config: ScanConfig,
    layers: Sequence[int],
    subject: Subject,
    workdir: Workdir | None,
    progress: Progress,
) -> tuple[list[LayerDictionary], int]:
    """The SAEs that were given; else some trained on the suspect, or taken from the work directory if they are there.

    Returns:
        The dictionaries, and the number of tokens that were listened to.
    """
    if config.saes:
        return load_dictionaries(
            subject, config.saes, progress, layers=config.layers, hooks=get_args(HookPoint)
        )
    recipe = RECIPE.get(config.budget, RECIPE[Budget.STANDARD])
    if workdir is None:
        return train_dictionaries(subject, layers, recipe, progress)
    names = [f"sae-f{recipe.features}-layer{layer}" for layer in layers]
    if not all((workdir.root / name).exists() for name in names):
        made, tokens = train_dictionaries(subject, layers, recipe, progress)
        for dictionary, name in zip(made, names, strict=True):
            workdir.folder(name, lambda folder, d=dictionary: save_dictionary(d, folder))  # type: ignore[misc]
        return made, tokens
    made, tokens = load_dictionaries(subject, [workdir.root / n for n in names], progress, layers=layers)
    return [replace(d, sae=replace(d.sae, source=TRAINED_HERE)) for d in made], tokens


def _keep(workdir: Workdir, passed: Verified, evidence: Sequence) -> None:  # type: ignore[type-arg]
    for layer in evidence:
        arrays = {
            "firing_count": layer.stats.firing_count.numpy(),
            "value_sum": layer.stats.value_sum.numpy(),
            "square_sum": layer.stats.square_sum.numpy(),
            "maximum": layer.stats.maximum.numpy(),
            "maximum_token": layer.stats.maximum_token.numpy(),
            "token_count": layer.stats.token_count.numpy(),
            "code_offsets": layer.codes.row_offsets.numpy(),
            "code_indices": layer.codes.indices.numpy(),
            "code_values": layer.codes.values.numpy(),
        }
        about = {"trigger": passed.trigger.text, "groups": "neutral,triggered,near_miss,random"}
        at = f"layer{layer.layer}" if layer.hook == "resid_post" else f"layer{layer.layer}-{layer.hook}"
        workdir.save_arrays(f"features-{at}-{layer.position}.h5", arrays, about)
