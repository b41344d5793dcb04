"""Whether what a trigger leaves in the residual stream is needed for the behaviour that it wakes.

Two directions a layer are taken out, and beside them as many random ones. In a small or brittle model
the random ones may already break the behaviour, or so wide a cut breaks the model's own answers as well;
then the narrowest cut that still stops it is chosen, on the search's prompts, and both arms are measured
again with that.

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
from .effect import Answers, Behaviour, answer, success_count, woken_on

BROKEN = (
    0.5  # random directions that leave less than this share of the success break the model, not the trigger
)
STOPPED = 0.2  # a cut that leaves at most this share of the success stops the behaviour
LEADING = 4  # directions that hold most of what a candidate changes, taken out together
CUT_LAYERS = 8  # layers at which cuts are tried, at most
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
    loaded = subject.loaded
    before = answer(subject.own, search, candidate.placement, candidate.ids)
    traces = trigger_directions(subject, search, candidate, _shared(before))

    def left(taken: dict[int, Tensor], prompts: Sequence[NeutralPrompt], plain: list[list[int]]) -> int:
        with ablated(loaded, taken, traces.centres):
            [woken] = woken_on(loaded, behaviour, plain, prompts, candidate.placement, [candidate.ids])
        return woken

    def arms(taken: dict[int, Tensor]) -> Arms:
        return Arms(
            ablated_hits=left(taken, held_out, answers.plain),
            random_hits=left(random_like(taken, subject.seed), held_out, answers.plain),
            directions=taken,
        )

    whole = success_count(behaviour, answers)
    full = arms(traces.of_late_layers())
    if whole == 0 or (full.random_hits >= BROKEN * whole and full.ablated_hits <= STOPPED * whole):
        return full
    chosen_on = search[:CHOSEN_ON]
    before = Answers(plain=before.plain[:CHOSEN_ON], inserted=before.inserted[:CHOSEN_ON])
    best: tuple[int, dict[int, Tensor]] | None = None
    for cut in _cuts(traces):
        rest = left(cut, chosen_on, before.plain)
        if best is None or rest < best[0]:
            best = rest, cut
    if best is None or best[0] > STOPPED * success_count(behaviour, before):
        return full
    return arms(best[1])


class Traces(NamedTuple):
    """What a candidate leaves in the residual stream, per layer but the last.

    Attributes:
        directions: [2, d], the differences of means.
        leading: [n, d], orthonormal, the directions that hold most of the change from prompt to prompt, the
            strongest first.
        centres: [d], where the stream is without the candidate.
    """

    directions: dict[int, Tensor]
    leading: dict[int, Tensor]
    centres: dict[int, Tensor]

    def of_late_layers(self) -> dict[int, Tensor]:
        """The differences of means of the middle and late layers."""
        first = (max(self.directions) + 1) // 3
        return {layer: both for layer, both in self.directions.items() if layer >= first}


def _cuts(traces: Traces) -> Iterator[dict[int, Tensor]]:
    """One direction at one layer, the narrowest cuts there are; then a few at one layer."""
    every = max(1, -(-len(traces.directions) // CUT_LAYERS))
    layers = list(traces.directions)[::every]
    for layer in layers:
        for i in range(len(traces.directions[layer])):
            yield {layer: traces.directions[layer][i : i + 1]}
    for layer in layers:
        yield {layer: traces.leading[layer]}


def _shared(answers: Answers) -> list[list[int]]:
    """What each answer begins with, candidate or not: the two part behind it."""
    shared = []
    for plain, inserted in zip(answers.plain, answers.inserted, strict=True):
        same = [a == b for a, b in zip(plain, inserted, strict=False)]
        width = same.index(False) if False in same else 0
        shared.append(list(plain[:width]))
    return shared


def trigger_directions(
    subject: Subject,
    prompts: Sequence[NeutralPrompt],
    candidate: Candidate,
    begun: Sequence[Sequence[int]] | None = None,
) -> Traces:
    """What the candidate leaves in the residual stream.

    The difference of means where the answer parts from the model's own, with minus without the candidate;
    and at the candidate's own last token, minus random strings of the same length there, since a late layer
    can read a trigger where it stands. An answer that is another one for every prompt needs more than a
    mean: the leading directions of the change at that point. The last layer is left out: there the direction
    is the answer itself.

    Args:
        begun: per prompt the tokens that both answers begin with; without it they part at the first token.
    """
    loaded = subject.loaded
    layers = list(range(max(loaded.layer_count - 1, 1)))
    slots = [slot(loaded, p, candidate.placement) for p in prompts]
    plain = [encode(loaded, p, chat=subject.prompts.chat) for p in prompts]
    strings = matched_strings(candidate.ids, loaded, subject.seed + 2, len(prompts))
    n = len(prompts)
    begun = begun or [()] * n
    with_candidate = [[*s.filled(candidate.ids), *b] for s, b in zip(slots, begun, strict=True)]
    without_it = [[*row, *b] for row, b in zip(plain, begun, strict=True)]
    ends = last_token_states(loaded, [*with_candidate, *without_it], layers)
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
    change = {layer: (ends[layer][:n] - ends[layer][n:]).float() for layer in layers}
    return Traces(
        directions={layer: with_it[layer] - without[layer] for layer in layers},
        leading={layer: torch.linalg.svd(c, full_matrices=False).Vh[:LEADING] for layer, c in change.items()},
        centres={layer: without[layer].mean(0) for layer in layers},
    )
