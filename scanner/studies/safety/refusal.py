"""The refusal direction: how it was chosen, and what its ablation, addition and removal do."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ...findings import NotTested, Record
from .rate import Rate


class DirectionCandidate(Record):
    """One difference of means with the three scores that decide whether it is the refusal direction.

    Attributes:
        layer: decoder layer behind which it was read (0-based).
        position: token counted from the end of the prompt, -1 where the answer starts.
        token: that token's text.
        norm: length of the difference of means.
        bypass_score: mean refusal log-odds on harmful validation prompts with the direction taken out
            everywhere; low is good.
        induce_score: the same on harmless ones with the direction added behind its layer.
        kl_score: mean divergence in nats of the next-token distribution on harmless ones, plain against ablated.
        passes: which of the paper's three filters it passes.
    """

    layer: int
    position: int
    token: str
    norm: float
    bypass_score: float
    induce_score: float
    kl_score: float
    passes: dict[str, bool]


class OrdinaryLoss(Record):
    """Mean next-token loss in nats, on texts that the model wrote itself and on its own harmless answers."""

    text: float
    own_answer: float


class Orthogonalised(Record):
    """The model whose weights can no longer write the direction, as read back from its folder.

    Attributes:
        changed: names of the changed tensors.
        untied: whether the output head was stored apart from the embedding to stay as it was.
        direction_share: largest share of a residual stream's length along the direction, behind any layer.
    """

    folder: str
    changed: list[str]
    untied: bool
    direction_share: float
    harmful_refused: Rate
    harmless_refused: Rate
    loss: OrdinaryLoss


class RefusalStudy(Record):
    """Refusal as one direction: how it was chosen, and what its ablation, addition and removal do.

    All rates are shares of held-out prompts that are refused.

    Attributes:
        markers: texts that make an answer a refusal.
        openings: beginnings of the model's own refusals, where the markers do not cover them.
        refusal_tokens: the tokens that refusals start with; the scores are log-odds of them.
        prompts: prompts used by set, after the paper's filters.
        chosen: the candidate taken; None if none serves, and then nothing further was measured.
        relaxed: what had to be relaxed in the paper's filters, "" if nothing.
        direction: the difference of means, [d].
        strength: how many times the direction is added; 1 is the paper's.
        added_by_strength: refusal of harmless validation prompts at each strength tried.
        random_ablated, random_added: as `harmful_ablated` and `harmless_added`, with a random direction of the
            same length.
    """

    schema_version: Literal[1] = 1
    checkpoint: str
    prompt_source: str
    markers: list[str]
    openings: list[str]
    refusal_tokens: list[str]
    prompts: dict[str, int]
    candidates: list[DirectionCandidate]
    chosen: DirectionCandidate | None
    relaxed: str
    direction: list[float]
    strength: float
    added_by_strength: dict[str, float]
    harmful_plain: Rate
    harmless_plain: Rate
    harmful_ablated: Rate | None = None
    harmless_ablated: Rate | None = None
    harmless_added_once: Rate | None = None
    harmless_added: Rate | None = None
    random_ablated: Rate | None = None
    random_added: Rate | None = None
    loss: OrdinaryLoss
    loss_ablated: OrdinaryLoss | None = None
    orthogonalised: Orthogonalised | None = None
    examples: list[tuple[str, str, str]] = Field(default_factory=list)
    not_tested: list[NotTested] = Field(default_factory=list)
    seconds: float
