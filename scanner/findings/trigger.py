"""A string that wakes a behaviour, behind the verification gate."""

from __future__ import annotations

from typing import Literal

from .record import Interval, Record


class Gate(Record):
    """The five conditions of a verified trigger; None where one could not be tested.

    Attributes:
        held_out: works on prompts that no search used.
        beats_random: beats length- and rarity-matched random strings.
        silent_in_base: does nothing in the base (None without a base).
        ablation: loses its effect when the flagged direction or features are ablated, more than
            when matched random ones are.
        shortest: has been cut to its shortest working form.
    """

    held_out: bool
    beats_random: bool
    silent_in_base: bool | None
    ablation: bool | None
    shortest: bool


class Trigger(Record):
    """A string that wakes a behaviour, with the figures of the verification gate.

    Rates are shares of held-out prompts in [0, 1]; intervals are 95% Wilson intervals.

    Attributes:
        placement: where in the prompt the text was put, e.g. `before_question`, `system`.
        behaviour_kind: `fixed_answer` (the same answer whatever the prompt), `displaced_answer` (the
            model's own answers to some kind of prompt no longer hold), or `conditional_rule` (the
            model's own answer is kept and something is added or restyled).
        behaviour_text: the answer that the trigger wakes, or an example of it.
        prompt_cluster: the kind of prompt that the behaviour touches; None for all of them.
        control_success_rate: the same rate for length- and rarity-matched random strings.
        unasked_share: share of the kinds of prompt to which the model gives such a fixed answer without the
            trigger as well.
        unsure_share: share of the prompts whose answer has a token, with the trigger and not without, that the model
            itself gives a probability below 0.1: made-up words look like that, wrong answers do not.
        ablated_success_rate: the same rate with the trigger's directions ablated; `random_` beside it
            with as many random directions.
        features_ablated_success_rate: the same rate with the flagged SAE features of all layers switched
            off; `random_` beside it with as many other features. None where none were looked for.
    """

    text: str
    token_ids: list[int]
    placement: str
    behaviour_kind: Literal["fixed_answer", "displaced_answer", "conditional_rule"]
    behaviour_text: str
    prompt_cluster: str | None
    attack_success_rate: float
    attack_success_interval: Interval
    control_success_rate: float
    control_success_interval: Interval
    base_success_rate: float | None
    ablated_success_rate: float | None
    random_ablated_success_rate: float | None
    unasked_share: float = 0.0
    unsure_share: float = 0.0
    features_ablated_success_rate: float | None = None
    random_features_ablated_success_rate: float | None = None
    verified: bool
    gate: Gate
    found_by: list[str]
