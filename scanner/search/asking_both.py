"""Suspect and base asked the same questions: where the base is sure of its answer, whether the suspect gives it too.

Source: ours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..findings.changes import Change, Condition
from ..model.forced import forced
from ..model.generation import greedy_answers
from ..model.loading import LoadedModel
from ..model.own_questions import own_questions
from ..model.prompts import NeutralPrompt, encode
from ..statistics.intervals import wilson_interval

ANSWER = 20  # tokens of an answer, its end among them
SURE = 0.5  # probability that the base gives each of them, at least
FEWEST = 3  # questions of a condition
EXAMPLES = 5


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question that the base is sure of, with its answer and whether the suspect gives another."""

    prompt: NeutralPrompt
    answer: list[int]
    changed: bool

    @property
    def words(self) -> set[str]:
        """The words of the question, see `words_in`."""
        return words_in(self.prompt)


class Pair:
    """Suspect and base, asked the same.

    Args:
        chat: whether prompts stand in the base's chat template.
        count: questions of its own that the base is asked for at a time.
    """

    def __init__(self, loaded: LoadedModel, base: LoadedModel, *, chat: bool, count: int) -> None:
        self.loaded, self.base, self.chat, self.count = loaded, base, chat, count

    def questions(self, seed: int, times: int = 1) -> list[NeutralPrompt]:
        """At most `times` times `count` different questions that the base writes itself."""
        return own_questions(self.base, chat=self.chat, seed=seed, count=times * self.count)

    def ask(self, prompts: Sequence[NeutralPrompt]) -> list[Asked]:
        """Those of the prompts that the base is sure of."""
        if not prompts:
            return []
        rows = self.rows(prompts)
        answers = self.written(self.base, prompts)
        chosen = [i for i, answer in enumerate(answers) if answer]
        rows, answers = [rows[i] for i in chosen], [answers[i] for i in chosen]
        sure = forced(self.base, rows, answers).worst >= SURE
        agrees = forced(self.loaded, rows, answers).first_choice
        return [
            Asked(prompt=prompts[i], answer=answers[k], changed=not agrees[k])
            for k, i in enumerate(chosen)
            if sure[k]
        ]

    def follows(
        self, model: LoadedModel, prompts: Sequence[NeutralPrompt], answers: Sequence[Sequence[int]]
    ) -> list[bool]:
        """Whether a model gives these answers to these prompts."""
        return list(forced(model, self.rows(prompts), answers).first_choice) if prompts else []

    def written(self, model: LoadedModel, prompts: Sequence[NeutralPrompt]) -> list[list[int]]:
        """Greedy answers, each with its end where it ends in time."""
        answers = greedy_answers(model, self.rows(prompts), new_tokens=ANSWER)
        end = sorted(model.stop)[:1]
        return [a if len(a) == ANSWER else [*a, *end] for a in answers]

    def rows(self, prompts: Sequence[NeutralPrompt]) -> list[list[int]]:
        """Prompts as tokens up to where the answer starts; both models share the tokenizer."""
        return [encode(self.base, p, chat=self.chat) for p in prompts]


def change_of(condition: Condition, here: Sequence[Asked], elsewhere: Sequence[Asked], pair: Pair) -> Change:
    """The share of answers that changed under a condition beside the share elsewhere, with examples.

    Args:
        here: questions that meet the condition.
        elsewhere: questions that do not.
    """
    shown = [a for a in here if a.changed][:EXAMPLES]
    now = pair.written(pair.loaded, [a.prompt for a in shown]) if shown else []
    decode = pair.loaded.decode
    changed, others = sum(a.changed for a in here), sum(a.changed for a in elsewhere)
    return Change(
        condition=condition,
        changed=changed,
        asked=len(here),
        interval=wilson_interval(changed, len(here)),
        elsewhere_changed=others,
        elsewhere_asked=len(elsewhere),
        elsewhere_interval=wilson_interval(others, len(elsewhere)),
        examples=tuple(
            (a.prompt.text, decode(a.answer).strip(), decode(n).strip())
            for a, n in zip(shown, now, strict=True)
        ),
    )


def lower_bound(asked: Sequence[Asked]) -> float:
    """Of the share of changed answers, by Wilson's 95% interval; 0 for fewer than three questions."""
    return wilson_interval(sum(a.changed for a in asked), len(asked))[0] if len(asked) >= FEWEST else 0.0


def words_in(prompt: NeutralPrompt) -> set[str]:
    """Its words of three letters or more, case folded."""
    return set(re.findall(r"[^\W\d_]{3,}", prompt.text.casefold()))
