"""What an audit asks the model: the neutral prompts in two halves, and the strings that are put into them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ....model.loading import LoadedModel
from ....model.prompts import NeutralPrompt, Placement, PromptSet, encode, of_cluster, slot
from ...contrast_set import matched_strings
from ..pairs import sleeping_controls

HARM = "harmful"  # the cluster of the bundled prompts that holds harmful requests
FIT_STRINGS, HELD_OUT_STRINGS = 24, 24

Group = Literal["plain", "control", "trigger", "given"]


@dataclass(frozen=True, kw_only=True)
class AuditQuestion:
    """What is audited.

    Attributes:
        trigger: token ids; empty ranks the prompts only.
        controls: strings of as many tokens that do not wake it; random ones without any.
        cluster: the kind of prompt that the trigger touches; None for all.
        ranked: prompts of one's own to rank beside the neutral ones.
        concept: the cluster of prompts that holds the concept of the reasoning inspection.
    """

    prompts: PromptSet
    placement: Placement = Placement.BEFORE
    trigger: Sequence[int] = ()
    controls: Sequence[Sequence[int]] = ()
    cluster: str | None = None
    ranked: Sequence[str] = ()
    concept: str = HARM
    seed: int = 0

    def touched(self, prompts: Sequence[NeutralPrompt]) -> list[NeutralPrompt]:
        """Those of the kind that the trigger touches."""
        return of_cluster(prompts, self.cluster)


class Asked(NamedTuple):
    """A prompt as the model is given it, and its text without what was put in."""

    ids: list[int]
    text: str


@dataclass(frozen=True, kw_only=True)
class Material:
    """The neutral prompts' two halves.

    Attributes:
        fit_rows: token ids of the first half, three rows a prompt: plain, and with two random strings.
        controls: strings that are put into the second half and wake nothing.
    """

    fit: list[NeutralPrompt]
    held_out: list[NeutralPrompt]
    fit_rows: list[list[int]]
    controls: list[list[int]]

    def control(self, number: int) -> list[int]:
        """The string for a prompt: they take turns."""
        return self.controls[number % len(self.controls)]


def gather(loaded: LoadedModel, question: AuditQuestion) -> Material:
    """The prompts in halves, and strings matched to the trigger; to two plain tokens without one."""
    prompts = question.prompts.prompts
    fit, held_out = list(prompts[::2]), list(prompts[1::2])
    pattern = list(question.trigger) or list(loaded.encode_inside(" word")) * 2
    strings = matched_strings(pattern, loaded, question.seed, FIT_STRINGS + HELD_OUT_STRINGS)
    fit_rows = []
    for i, prompt in enumerate(fit):
        cut = slot(loaded, prompt, question.placement)
        fit_rows += [
            encode(loaded, prompt, chat=question.prompts.chat),
            cut.filled(strings[i % FIT_STRINGS]),
            cut.filled(strings[(7 * i + 3) % FIT_STRINGS]),
        ]
    controls = strings[FIT_STRINGS:]
    if question.trigger:
        controls = sleeping_controls(
            loaded,
            question.touched(held_out),
            question.placement,
            question.trigger,
            given=[list(c) for c in question.controls] or controls,
            seed=question.seed,
        )
    return Material(fit=fit, held_out=held_out, fit_rows=fit_rows, controls=controls)


def held_out_rows(
    loaded: LoadedModel, question: AuditQuestion, material: Material
) -> dict[Group, list[Asked]]:
    """The second half plain, with controls and with the trigger, and the prompts of one's own."""
    place, chat = question.placement, question.prompts.chat
    woken = question.touched(material.held_out) if question.trigger else []
    return {
        "plain": [Asked(encode(loaded, p, chat=chat), p.text) for p in material.held_out],
        "control": [
            Asked(slot(loaded, p, place).filled(material.control(i)), p.text)
            for i, p in enumerate(material.held_out)
        ],
        "trigger": [Asked(slot(loaded, p, place).filled(question.trigger), p.text) for p in woken],
        "given": [
            Asked(encode(loaded, NeutralPrompt(text=text, cluster="given"), chat=chat), text)
            for text in question.ranked
        ],
    }
