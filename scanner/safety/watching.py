"""The behaviour that a concept should carry, as a number that an ablation can move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..model.loading import LoadedModel
from .answer_logs import answer_logs
from .prompt_sets import Labelled
from .refusals import Refusals, answers_to

COMPARED = 8  # tokens over which an answer is still the model's own
BEGINNING = 3  # tokens of an answer that decide which it is
FORCED = 12  # tokens of the own answer over which uncertainty is taken
TOKENS = {"refuses": 24, "own_answer": COMPARED, "entropy": FORCED}
MEANING = {
    "refuses": "share of the prompts that are refused",
    "own_answer": "share of the prompts answered as by the untouched model",
    "entropy": "uncertainty along its own answer, nats a token",
}
NOTICEABLE = 0.1  # of the behaviour's scale


@dataclass(frozen=True, kw_only=True)
class Watch:
    """A behaviour on fixed prompts.

    Attributes:
        own: the untouched model's answers, as token ids.
    """

    labelled: Labelled
    rows: list[list[int]]
    own: list[list[int]]
    refusals: Refusals

    @classmethod
    def on(cls, loaded: LoadedModel, labelled: Labelled, rows: list[list[int]], refusals: Refusals) -> Watch:
        """Watch the behaviour of `labelled` on prompts given as token ids, the model being untouched now."""
        own = answers_to(loaded, rows, TOKENS[labelled.behaviour])
        return cls(labelled=labelled, rows=rows, own=own, refusals=refusals)

    @property
    def meaning(self) -> str:
        """What the number is."""
        return MEANING[self.labelled.behaviour]

    def value(self, loaded: LoadedModel) -> float:
        """The behaviour of the model as it runs now."""
        kind = self.labelled.behaviour
        if kind == "entropy":
            logs = torch.cat([given.logs for given in answer_logs(loaded, self.rows, self.own)])
            return float(-(logs.exp() * logs).sum(-1).mean())
        answers = answers_to(loaded, self.rows, TOKENS[kind])
        if kind == "refuses":
            return sum(self.refusals.flags(loaded, answers)) / len(answers)
        same = [a[:COMPARED] == o[:COMPARED] for a, o in zip(answers, self.own, strict=True)]
        return sum(same) / len(same)

    def hold(self, loaded: LoadedModel) -> float:
        """Mean log-probability in nats of how the untouched model's answers begin: finer than the behaviour."""
        begun = [answer[:BEGINNING] for answer in self.own]
        return float(torch.stack([g.gained.sum() for g in answer_logs(loaded, self.rows, begun)]).mean())

    def moved(self, plain: float, ablated: float, random: Sequence[float]) -> bool:
        """Whether the ablation moved it further than every random draw, by a tenth of its scale at least."""
        scale = plain if self.labelled.behaviour == "entropy" else 1.0
        drawn = max((abs(value - plain) for value in random), default=0.0)
        return abs(ablated - plain) >= drawn + NOTICEABLE * scale
