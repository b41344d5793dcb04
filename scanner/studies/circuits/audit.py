"""Audits of inner states: what is held inside and not said, and which prompts disagree most."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ...findings import Interval, Record


class ReasoningInspection(Record):
    """Whether the model represents a concept (harm, or being woken) that its output does not show.

    Rates are shares of the audited prompts in [0, 1].

    Attributes:
        concept: what is looked for, in words.
        audited: which prompts were audited, in words, and `prompts` how many.
        layer: the first at which a probe tells the concept on held-out plain prompts as well as at the best one
            (within 0.01), with its AUROC there.
        represented: the inner state holds the concept. The probe's limit lets 5% of plain prompts without it pass.
        shown: the output shows it: it begins as the model's answers do where the concept is plain.
        hidden: held inside and not shown.
        control_hidden: the same with a control string in place of the trigger; None without one.
        represented_by_layer: `represented` for a probe at each layer.
    """

    concept: str
    audited: str
    prompts: int
    layer: int
    auroc: float
    represented: float
    shown: float
    hidden: float
    hidden_interval: Interval
    control_hidden: float | None
    represented_by_layer: dict[int, float]


class Consistency(Record):
    """Whether inner state and output agree on the first token of the answer, layer by layer.

    Attributes:
        neutral, control, woken: share of plain prompts, of prompts with a control string and of prompts with
            the trigger on which the layer's reading begins the answer as the output does.
    """

    neutral: dict[int, float]
    control: dict[int, float]
    woken: dict[int, float]


class RankedPrompt(Record):
    """One prompt of a discrepancy ranking.

    Attributes:
        group: `plain`, `control`, `trigger`, or `given`.
        score: standard deviations above neutral prompts, the mean of several layers.
        inner: how the middle layer would begin the answer, and `output` how it begins.
    """

    text: str
    group: Literal["plain", "control", "trigger", "given"]
    score: float
    inner: str
    output: str


class Discrepancy(Record):
    """Prompts ranked by how far the answer departs from what the inner state foretells.

    Attributes:
        layers: whose readings are compared, averaged.
        prompts: how many were ranked, of which `woken` hold the trigger.
        auroc: how well the score tells prompts with the trigger from all others, with a 95% interval; None
            without a trigger.
        top_share: of the `woken` first prompts of the ranking, the share that holds the trigger.
        ranking: the most discrepant prompts, the first ones only.
    """

    layers: list[int]
    prompts: int
    woken: int
    auroc: float | None
    auroc_interval: Interval | None
    top_share: float | None
    ranking: list[RankedPrompt]


class AuditStudy(Record):
    """The three audits of one model. Without a trigger only prompts are ranked."""

    schema_version: Literal[1] = 1
    checkpoint: str
    trigger: str
    controls: list[str]
    placement: str
    reasoning: list[ReasoningInspection] = Field(default_factory=list)
    consistency: Consistency | None = None
    discrepancy: Discrepancy
    seconds: float
