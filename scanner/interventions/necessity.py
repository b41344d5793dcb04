"""Whether what a trigger leaves in the residual stream is needed for the behaviour that it wakes.

Two directions a layer are taken out, and beside them as many random ones. In a small or brittle model
the random ones may already break the behaviour; then the narrowest cut that still stops it is chosen, on
the search's prompts, and both arms are measured again with that.

Source: ours; difference of means and mean ablation as in Arditi et al. 2024.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..model.activations import last_token_states
from ..model.candidate import Candidate
from ..model.prompts import NeutralPrompt, encode, slot
from ..model.subject import Subject
from .ablation import ablated, random_like
from .contrast_set import matched_strings
from .effect import Answers, Behaviour, answer, success_count

BROKEN = (
    0.5  # random directions that leave less than this share of the success break the model, not the trigger
)
STOPPED = 0.2  # a cut that leaves at most this share of the success stops the behaviour
CHOSEN_ON = 24  # search prompts on which the narrowest cut is chosen


@dataclass(frozen=True, kw_only=True)
class Arms:
    """On how many held-out prompts the behaviour still shows.

    Attributes:
        directions: per layer [n, d], what was taken out.
    """

    ablated_hits: int
    random_hits: int
    directions: dict[int, Tensor]


def ablation_arms(
    subject: Subject,
    candidate: Candidate,
    behaviour: Behaviour,
    search: Sequence[NeutralPrompt],
    held_out: Sequence[NeutralPrompt],
    answers: Answers,
) -> Arms:
    """The success that is left without the trigger's directions, and without matched random ones.

    Args:
        search: prompts that directions and layers are chosen on.
        held_out: prompts that the success is counted on; `answers` are those to them.
    """
    loaded, chat = subject.loaded, subject.prompts.chat
    directions, centres = trigger_directions(subject, search, candidate)

    def left(taken: dict[int, Tensor], prompts: Sequence[NeutralPrompt], plain: list[list[int]]) -> int:
        with ablated(loaded, taken, centres):
            written = answer(loaded, prompts, candidate.placement, candidate.ids, chat=chat)
        return success_count(behaviour, Answers(plain=plain, inserted=written.inserted))

    def arms(taken: dict[int, Tensor]) -> Arms:
        return Arms(
            ablated_hits=left(taken, held_out, answers.plain),
            random_hits=left(random_like(taken, subject.seed), held_out, answers.plain),
            directions=taken,
        )

    hits = success_count(behaviour, answers)
    full = arms(directions)
    if full.random_hits >= BROKEN * hits or hits == 0:
        return full
    chosen_on = search[:CHOSEN_ON]
    before = answer(loaded, chosen_on, candidate.placement, candidate.ids, chat=chat)
    best: tuple[int, dict[int, Tensor]] | None = None
    for cut in _narrow_cuts(directions):
        rest = left(cut, chosen_on, before.plain)
        if best is None or rest < best[0]:
            best = rest, cut
    if best is None or best[0] > STOPPED * success_count(behaviour, before):
        return full
    return arms(best[1])


def _narrow_cuts(directions: dict[int, Tensor]) -> Iterator[dict[int, Tensor]]:
    """One direction at one layer, the narrowest cuts there are."""
    for layer, both in directions.items():
        for i in range(len(both)):
            yield {layer: both[i : i + 1]}


class Traces(NamedTuple):
    """Per layer the directions [2, d] that a candidate leaves, and where the stream is without it [d]."""

    directions: dict[int, Tensor]
    centres: dict[int, Tensor]


def trigger_directions(subject: Subject, prompts: Sequence[NeutralPrompt], candidate: Candidate) -> Traces:
    """What the candidate leaves in the residual stream, as two directions a layer.

    The difference of means at the last prompt token, with minus without the candidate; and at the
    candidate's own last token, minus random strings of the same length there, since a late layer can
    read a trigger where it stands. The middle and late layers are taken, the last left out: there the
    direction is the answer itself.
    """
    loaded = subject.loaded
    first = loaded.layer_count // 3
    layers = list(range(first, max(loaded.layer_count - 1, first + 1)))
    slots = [slot(loaded, p, candidate.placement) for p in prompts]
    plain = [encode(loaded, p, chat=subject.prompts.chat) for p in prompts]
    strings = matched_strings(candidate.ids, loaded, subject.seed + 2, len(prompts))
    n = len(prompts)
    ends = last_token_states(loaded, [*(s.filled(candidate.ids) for s in slots), *plain], layers)
    places = last_token_states(
        loaded,
        [
            *([*s.prefix, *candidate.ids] for s in slots),
            *([*s.prefix, *string] for s, string in zip(slots, strings, strict=True)),
        ],
        layers,
    )
    with_it = {layer: torch.stack([s[layer][:n].mean(0) for s in (ends, places)]) for layer in layers}
    without = {layer: torch.stack([s[layer][n:].mean(0) for s in (ends, places)]) for layer in layers}
    return Traces(
        directions={layer: with_it[layer] - without[layer] for layer in layers},
        centres={layer: without[layer].mean(0) for layer in layers},
    )
