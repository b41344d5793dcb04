"""One model asked questions: what it answers, what it is sure of, whether it gives an answer that is put to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..model.forced import forced
from ..model.generation import weighed_answers
from ..model.loading import LoadedModel
from ..model.prompts import NeutralPrompt, encode

ANSWER = 20  # tokens of an answer, its end among them
SURE = 0.5  # probability that a model gives each token of an answer that it is sure of, at least


class Answered(NamedTuple):
    """A question with its answer.

    Attributes:
        answer: token ids, at most `ANSWER` of them, with the end where it ends in time.
        sure: whether the model gives each of them a probability of `SURE` or more.
    """

    prompt: NeutralPrompt
    answer: list[int]
    sure: bool


@dataclass(frozen=True)
class Respondent:
    """A model that is asked.

    Attributes:
        chat: whether prompts stand in its chat template.
    """

    loaded: LoadedModel
    chat: bool

    def ask(self, prompts: Sequence[NeutralPrompt]) -> list[Answered]:
        """Its greedy answers."""
        if not prompts:
            return []
        written = weighed_answers(self.loaded, self.rows(prompts), new_tokens=ANSWER)
        end = sorted(self.loaded.stop)[:1]
        tokens = [w.tokens if len(w.tokens) == ANSWER else [*w.tokens, *end] for w in written]
        return [
            Answered(prompt, answer, bool(answer) and w.worst >= SURE)
            for prompt, answer, w in zip(prompts, tokens, written, strict=True)
        ]

    def answers(self, prompts: Sequence[NeutralPrompt]) -> list[list[int]]:
        """The same, answers alone."""
        return [answered.answer for answered in self.ask(prompts)]

    def gives(self, prompts: Sequence[NeutralPrompt], answers: Sequence[Sequence[int]]) -> list[bool]:
        """Whether each answer is, token by token, its first choice."""
        return list(forced(self.loaded, self.rows(prompts), answers).first_choice) if prompts else []

    def rows(self, prompts: Sequence[NeutralPrompt]) -> list[list[int]]:
        """Prompts as tokens up to where the answer starts."""
        return [encode(self.loaded, p, chat=self.chat) for p in prompts]
