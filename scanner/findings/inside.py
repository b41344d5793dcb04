"""What carries a trigger inside the model: features, probes, and the dictionaries that they were read with."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from .record import Interval, Record


class TokenMap(Record):
    """How strongly something reads at each token of one prompt: what a heat map is drawn from.

    Attributes:
        group: what stands in the prompt: the trigger, nothing, a near-miss, or a random string of its length.
        tokens: the prompt as the model gets it, a text a token; special tokens by their names.
        values: one a token; for a feature its activation, for a probe its log-odds that the trigger is there.
        skipped: tokens in front of the first one, which were left out of a long prompt.
    """

    group: Literal["neutral", "triggered", "near_miss", "random"]
    tokens: list[str]
    values: list[float]
    skipped: int = 0

    @model_validator(mode="after")
    def _one_value_a_token(self) -> TokenMap:
        if len(self.tokens) != len(self.values):
            raise ValueError(
                f"a token map has one value a token, got {len(self.values)} for {len(self.tokens)} tokens"
            )
        return self


class Feature(Record):
    """An SAE feature that is specific to a trigger.

    Attributes:
        position: the token that its figures are of: `last_prompt_token`, where the answer starts, or
            `trigger`, the last token of what was put into the prompt.
        firing_rate_neutral: share of neutral prompts on which it fires there (for `trigger`: at a random
            token).
        firing_rate_triggered: the same for prompts with the trigger.
        effect_size: standardised mean difference (Cohen's d), triggered minus all others.
        auroc: area under the ROC curve of the activation, triggered against all others.
        q_value: false-discovery-controlled over all features tested (Benjamini-Hochberg).
        causal_effect: fall of attack success when this layer's flagged features are ablated, None if
            not tested.
        top_examples: the texts on which it fires most.
        token_maps: its activation token by token, on the prompt with the trigger on which it fires most and on
            the one without; empty for the weaker features of a layer.
    """

    layer: int
    hook: str
    feature: int
    position: Literal["last_prompt_token", "trigger"]
    trigger: str
    firing_rate_neutral: float
    firing_rate_triggered: float
    firing_rate_near_miss: float
    effect_size: float
    auroc: float
    q_value: float
    causal_effect: float | None
    top_examples: list[str]
    token_maps: list[TokenMap] = Field(default_factory=list)


class Probe(Record):
    """A logistic defection probe on one layer, with the yardsticks that make its AUROC readable.

    Attributes:
        kind: `sae` or `residual`.
        negatives: what the probe had to tell the trigger from.
        random_direction_auroc: best of the stated number of random directions, same test prompts.
        base_auroc: AUROC of the same probe recipe for the same trigger text in the base, None without.
        test_negatives: how many of the test prompts are without the trigger: one over it is the lowest false
            positive rate that can be told from none.
        roc: corners of the ROC curve on the test prompts, (false positive rate, true positive rate), rising.
        token_maps: its log-odds token by token, on the test prompt with the trigger and on the one without it
            that it is surest of.
    """

    layer: int
    kind: Literal["sae", "residual"]
    trigger: str
    auroc: float
    auroc_interval: Interval
    random_direction_auroc: float
    random_directions: int
    base_auroc: float | None
    train_count: int
    test_count: int
    negatives: str
    test_negatives: int | None = None
    roc: list[tuple[float, float]] = Field(default_factory=list)
    token_maps: list[TokenMap] = Field(default_factory=list)


class Dictionary(Record):
    """An SAE the scan used, with the figures that say whether it fits (L0, explained variance).

    They are those on up to 8,192 tokens of the texts that the scan listens to. One that was trained in the scan has learned
    from the same texts, so that its figures are those of its training.
    """

    layer: int
    hook: str
    features: int
    source: str
    l0: float
    explained_variance: float
    live_share: float
