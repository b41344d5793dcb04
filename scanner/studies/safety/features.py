"""The catalogue of a model's safety features, concept by concept."""

from __future__ import annotations

from typing import Literal

from ...findings import Dictionary, NotTested, Record


class SafetyFeature(Record):
    """An SAE feature that tells the two sides of a concept's prompts apart.

    Attributes:
        read_at: where on the prompt it was read: `answer_start`, or `request`, the peak over the request's tokens.
        effect_size: Cohen's d of the activation, positive minus negative prompts.
        q_value: Benjamini-Hochberg over all features, layers and positions of the concept.
        causal_effect: change in nats of the log-probability of how the untouched model's answers begin, on the
            concept's held-out prompts, with this feature alone switched off; None if not tested.
        random_effect: the same for a matched feature: another of the layer that writes about as much.
        top_examples: the prompts on which it fires most.
    """

    concept: str
    layer: int
    feature: int
    read_at: Literal["answer_start", "request"]
    effect_size: float
    auroc: float
    q_value: float
    firing_rate_positive: float
    firing_rate_negative: float
    mean_positive: float
    mean_negative: float
    causal_effect: float | None
    random_effect: float | None
    top_examples: list[str]


class ConceptResult(Record):
    """What the dictionaries know of one concept.

    Attributes:
        behaviour: what the causal check measures on the held-out positive prompts.
        behaviour_plain: its value in the untouched model.
        behaviour_ablated: with all flagged features of the concept switched off.
        behaviour_random: with as many matched features off, one value a draw.
        features_found: features below the q-value before the list was cut.
        verdict: `carried` if the ablation moves the behaviour further than every random draw, by a tenth of its
            scale at least; `read_only` if features are found and it does not; `no_features`.
    """

    concept: str
    question: str
    positives: int
    negatives: int
    behaviour: str
    behaviour_plain: float
    behaviour_ablated: float | None
    behaviour_random: list[float]
    features_found: int
    features: list[SafetyFeature]
    verdict: Literal["carried", "read_only", "no_features"]


class CatalogueDictionary(Record):
    """A dictionary that a catalogue speaks of: what it is, where it lies, and a hash of its weights."""

    about: Dictionary
    folder: str
    sha256: str


class SafetyCatalogue(Record):
    """The safety features of one checkpoint."""

    schema_version: Literal[1] = 1
    checkpoint: str
    prompt_source: str
    prompts_sha256: str
    dictionaries: list[CatalogueDictionary]
    concepts: list[ConceptResult]
    not_tested: list[NotTested]
    seconds: float

    @property
    def features(self) -> list[SafetyFeature]:
        """Every flagged feature, concept by concept."""
        return [feature for concept in self.concepts for feature in concept.features]
