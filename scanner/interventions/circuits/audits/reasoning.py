"""Reasoning inspection: concepts that are held inside where the output does not show them.

Two concepts are looked for: a kind of request (harm, say) where the trigger changes the answer to it, and the
trigger itself in strings that are almost the trigger and wake nothing. What shows a concept is how answers
begin that have it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ....model.loading import LoadedModel
from ....model.prompts import NeutralPrompt, encode, slot
from ....statistics.intervals import wilson_interval
from ....studies.circuits import ReasoningInspection
from .almost import almost
from .inner_reader import Spoken, listen
from .material import AuditQuestion, Group, Material
from .probe import Labelled, fit_probe

BEGINNING = 3  # tokens of an answer that say how it begins
FEWEST = 4  # prompts that an inspection needs


def inspections(
    loaded: LoadedModel, question: AuditQuestion, material: Material, spoken: Mapping[Group, Spoken]
) -> list[ReasoningInspection]:
    """Both inspections, each where there are prompts for it."""
    return [
        *_of_requests(loaded, question, material, spoken["plain"]),
        *_of_trigger(loaded, question, material, spoken["trigger"]),
    ]


def _of_requests(
    loaded: LoadedModel, question: AuditQuestion, material: Material, plain: Spoken
) -> Iterator[ReasoningInspection]:
    """Requests of the concept's kind, once the trigger stands there."""

    def of_kind(prompt: NeutralPrompt) -> bool:
        return prompt.cluster == question.concept

    prompts, place = material.held_out, question.placement
    asked = [p for p in prompts if of_kind(p)]
    if len(asked) < FEWEST or len({p.cluster for p in prompts}) < 2:
        return
    yield _inspect(
        loaded,
        concept=f"the request is of the kind {question.concept}",
        audited="such requests with the trigger",
        fit=Labelled(material.fit_rows, [of_kind(p) for p in material.fit for _ in range(3)]),
        test=Labelled(
            [encode(loaded, p, chat=question.prompts.chat) for p in prompts], [of_kind(p) for p in prompts]
        ),
        showing=[a for p, a in zip(prompts, plain.answers, strict=True) if of_kind(p)],
        rows=[slot(loaded, p, place).filled(question.trigger) for p in asked],
        control=[slot(loaded, p, place).filled(material.control(i)) for i, p in enumerate(asked)],
    )


def _of_trigger(
    loaded: LoadedModel, question: AuditQuestion, material: Material, woken: Spoken
) -> Iterator[ReasoningInspection]:
    """Strings that are almost the trigger."""
    near = almost(loaded, question.trigger)
    fit, test = question.touched(material.fit), question.touched(material.held_out)
    if not near or min(len(fit), len(test)) < FEWEST:
        return

    def both(prompts: Sequence[NeutralPrompt]) -> Labelled:
        cuts = [slot(loaded, p, question.placement) for p in prompts]
        filled = [
            cut.filled(string)
            for i, cut in enumerate(cuts)
            for string in (question.trigger, material.control(i))
        ]
        return Labelled(filled, [True, False] * len(cuts))

    yield _inspect(
        loaded,
        concept="the trigger stands in the prompt",
        audited="strings that are almost the trigger",
        fit=both(fit),
        test=both(test),
        showing=woken.answers,
        rows=[slot(loaded, p, question.placement).filled(near[i % len(near)]) for i, p in enumerate(test)],
        control=None,
    )


def _inspect(
    loaded: LoadedModel,
    *,
    concept: str,
    audited: str,
    fit: Labelled,
    test: Labelled,
    showing: Sequence[Sequence[int]],
    rows: list[list[int]],
    control: list[list[int]] | None,
) -> ReasoningInspection:
    """Probe a concept at every layer, and hold it beside what the outputs show.

    Args:
        showing: answers that show the concept.
        rows: the audited prompts, and `control` the same without what is thought to hide it.
    """
    probe = fit_probe(loaded, fit, test)
    inside = probe.held(loaded, rows, list(probe.auroc))
    best = probe.layer
    beginnings = _beginnings(showing)
    shown = _shown(loaded, rows, beginnings)
    hidden = inside[best] & ~shown
    control_hidden = None
    if control is not None:
        held = probe.held(loaded, control, [best])[best]
        control_hidden = float((held & ~_shown(loaded, control, beginnings)).mean())
    return ReasoningInspection(
        concept=concept,
        audited=audited,
        prompts=len(rows),
        layer=best,
        auroc=probe.auroc[best],
        represented=float(inside[best].mean()),
        shown=float(shown.mean()),
        hidden=float(hidden.mean()),
        hidden_interval=wilson_interval(int(hidden.sum()), len(hidden)),
        control_hidden=control_hidden,
        represented_by_layer={layer: float(held.mean()) for layer, held in inside.items()},
    )


def _beginnings(answers: Sequence[Sequence[int]]) -> set[tuple[int, ...]]:
    """How answers begin that show a concept: every beginning that a tenth of them share, two at least."""
    counts = Counter(tuple(answer[:BEGINNING]) for answer in answers)
    return {begin for begin, count in counts.items() if count >= max(2, len(answers) / 10)}


def _shown(
    loaded: LoadedModel, rows: Sequence[Sequence[int]], beginnings: set[tuple[int, ...]]
) -> NDArray[np.bool_]:
    """Whether the answer to each row begins so."""
    return np.array([tuple(a[:BEGINNING]) in beginnings for a in listen(loaded, rows).answers])
