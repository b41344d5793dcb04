"""Suspect and base asked the same questions: where the base is sure of its answer, whether the suspect gives it too.

Source: ours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..findings.changes import Change, Condition
from ..model.loading import LoadedModel
from ..model.own_questions import own_questions
from ..model.prompts import NeutralPrompt
from ..statistics.intervals import wilson_interval
from .respondent import Respondent

FEWEST = 3  # questions of a condition
EXAMPLES = 5


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question with the answer that it should get, and whether the suspect gives another.

    Attributes:
        wording: how the question is put, a name of `model.rewriting.REWRITINGS`; "" for plainly.
    """

    prompt: NeutralPrompt
    answer: list[int]
    changed: bool
    wording: str = ""

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
        self.suspect, self.base, self.count = Respondent(loaded, chat), Respondent(base, chat), count

    def questions(self, seed: int, times: int = 1) -> list[NeutralPrompt]:
        """At most `times` times `count` different questions that the base writes itself."""
        return own_questions(self.base.loaded, chat=self.base.chat, seed=seed, count=times * self.count)

    def ask(self, prompts: Sequence[NeutralPrompt]) -> list[Asked]:
        """Those of the prompts that the base is sure of."""
        answered = self.base.ask(prompts)
        return self.compared(
            [Asked(prompt=a.prompt, answer=a.answer, changed=False) for a in answered if a.sure]
        )

    def compared(self, asked: Sequence[Asked]) -> list[Asked]:
        """The same questions, changed where the suspect gives another answer."""
        agrees = self.suspect.gives([a.prompt for a in asked], [a.answer for a in asked])
        return [replace(a, changed=not agreed) for a, agreed in zip(asked, agrees, strict=True)]


def change_of(
    condition: Condition, here: Sequence[Asked], elsewhere: Sequence[Asked], suspect: Respondent
) -> Change:
    """The share of answers that changed under a condition beside the share elsewhere, with examples.

    Args:
        here: questions that meet the condition.
        elsewhere: questions that do not.
    """
    shown = [a for a in here if a.changed][:EXAMPLES]
    now = suspect.answers([a.prompt for a in shown])
    decode = suspect.loaded.decode
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
