"""The dictionaries that safety features are read with: trained on the model at hand, or given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import UsageError
from ..model.loading import LoadedModel
from ..model.prompts import NeutralPrompt, PromptSet, bundled_prompts
from ..model.subject import Subject, make_subject
from ..progress import Progress
from ..sae.dictionaries import LayerDictionary, load_dictionaries, train_dictionaries
from ..sae.recipe import TrainingRecipe
from .prompt_sets import Labelled, halves

RECIPE = TrainingRecipe(steps=350)
LAYERS = 6  # layers at which dictionaries are trained, at most
SAMPLES = 64


def safety_layers(loaded: LoadedModel, given: Sequence[int] | None) -> list[int]:
    """The layers asked for; else all but the last, a few of them where there are many.

    Raises:
        UsageError: a layer that the model lacks.
    """
    if given:
        for layer in given:
            if not 0 <= layer < loaded.layer_count:
                raise UsageError(f"--layers takes 0 to {loaded.layer_count - 1} for this model, got {layer}")
        return sorted(set(given))
    inner = max(1, loaded.layer_count - 1)
    every = -(-inner // LAYERS)
    return list(range(inner - 1, -1, -every))[::-1]


def safety_subject(loaded: LoadedModel, concepts: Mapping[str, Labelled], *, seed: int) -> Subject:
    """What dictionaries learn from: the half of the labelled prompts that finds features, and neutral ones."""
    prompts = [
        NeutralPrompt(text=text, cluster=name)
        for name, labelled in concepts.items()
        for side in (labelled.positive, labelled.negative)
        for text in halves(side)[0]
    ]
    prompts += bundled_prompts().prompts
    given = PromptSet(name="labelled prompts", prompts=tuple(prompts), chat=loaded.has_chat_template)
    subject, _ = make_subject(loaded, given=given, seed=seed, samples=SAMPLES)
    return replace(subject, search=given.prompts)


def safety_dictionaries(
    loaded: LoadedModel,
    concepts: Mapping[str, Labelled],
    *,
    layers: Sequence[int] | None,
    folders: Sequence[Path],
    recipe: TrainingRecipe = RECIPE,
    seed: int,
    progress: Progress,
) -> list[LayerDictionary]:
    """Dictionaries at the layers asked for, trained here, or those in `folders`."""
    subject = safety_subject(loaded, concepts, seed=seed)
    if folders:
        return load_dictionaries(subject, folders, progress, layers=layers)[0]
    return train_dictionaries(subject, safety_layers(loaded, layers), recipe, progress)[0]
