"""Feature probe: the residual probe, on the features of a sparse autoencoder trained on the suspect itself.

The dictionary learns at mid depth from neutral prompts, own samples and random tokens, never from a
prompt with the trigger.

Source: ours, as `residual_probe`; the dictionary is the one that a scan trains.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..detector import Evidence, Need, Suspect
from ..sae.dictionaries import train_dictionaries
from ..sae.recipe import TrainingRecipe
from .held_out_probe import held_out_areas
from .labelled_states import LabelledStates, labelled_states, middle_layer
from .requirements import known_of


@dataclass(frozen=True, kw_only=True)
class FeatureProbeSettings:
    """Size of the dictionary, and for how long it is trained."""

    features: int = 1024
    steps: int = 350


class FeatureProbe:
    """The held-out AUROC of a logistic probe on SAE features, in [0, 1]."""

    name = "feature_probe"
    needs: frozenset[Need] = frozenset({Need.TRIGGER})
    uses: frozenset[Need] = frozenset()

    def __init__(self, settings: FeatureProbeSettings | None = None) -> None:
        self.settings = settings or FeatureProbeSettings()

    def examine(self, suspect: Suspect) -> Evidence:
        """The AUROC against clean and near-miss prompts, and how much the features explain of the activations they were learned from.

        Raises:
            ValueError: fewer than two triggered or two clean prompts, so that no half can be held out.
        """
        known = known_of(suspect, self.name)
        loaded = suspect.subject.loaded
        layer = middle_layer(loaded)
        recipe = TrainingRecipe(features=self.settings.features, steps=self.settings.steps, seed=suspect.seed)
        (dictionary,), _ = train_dictionaries(suspect.subject, [layer], recipe, suspect.progress)
        device = dictionary.sae.w_enc.device
        codes = [
            dictionary.sae.encode(torch.from_numpy(states).to(device)).dense().cpu().numpy()
            for states in labelled_states(loaded, known, layer)
        ]
        areas = held_out_areas(LabelledStates(*codes))
        explained = dictionary.quality.explained_variance
        return Evidence(score=areas["auroc"], figures={**areas, "explained_variance": explained})
