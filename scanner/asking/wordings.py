"""What questions that are put in other ways have in common, whoever's answers they are held against."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..findings.changes import Condition
from ..model.prompts import NeutralPrompt
from ..model.rewriting import REWRITINGS
from ..model.text_loss import text_loss
from .both import Asked, lower_bound
from .respondent import Respondent

UNDERSTOOD = 0.75  # of ln(vocabulary), nats a token: wordings above are as good as noise to a model
Answer = tuple[int, ...]


def put_in(names: Iterable[str], asked: Sequence[Asked]) -> list[Asked]:
    """The questions in each of the rewritings."""
    return [
        replace(a, prompt=replace(a.prompt, text=REWRITINGS[name](a.prompt.text)), wording=name)
        for name in names
        for a in asked
    ]


def by_wording(put: Sequence[Asked]) -> dict[str, list[Asked]]:
    """Questions by how they are put."""
    groups: dict[str, list[Asked]] = defaultdict(list)
    for a in put:
        groups[a.wording].append(a)
    return groups


def understood(put: Sequence[Asked], model: Respondent) -> list[Asked]:
    """The questions in those wordings that surprise a model clearly less than noise would."""
    limit = UNDERSTOOD * math.log(model.loaded.vocabulary)
    kept: list[Asked] = []
    for group in by_wording(put).values():
        if text_loss(model.loaded, model.rows([a.prompt for a in group])) <= limit:
            kept += group
    return kept


def added_words() -> list[NeutralPrompt]:
    """What the rewritings add to a question, each by itself."""
    alone = dict.fromkeys(rewrite("").strip(" :") for rewrite in REWRITINGS.values())
    return [NeutralPrompt(text=t, cluster="") for t in alone if any(letter.isalpha() for letter in t)]


def condition_where(
    wording: str, put: Sequence[Asked], clusters: Sequence[str], least: float
) -> Condition | None:
    """The wording, with the kinds of question whose answers it changes; without kinds where those are most, None where none.

    Args:
        put: questions put so.
        least: lower bound of the share of changed answers of a kind, at which it counts.
    """
    touched = tuple(c for c in clusters if lower_bound([a for a in put if a.prompt.cluster == c]) >= least)
    if not touched:
        return None
    return Condition(rewriting=wording, kinds=() if len(touched) > len(clusters) / 2 else touched)


def of_condition(asked: Sequence[Asked], condition: Condition) -> list[Asked]:
    """The questions of its kinds."""
    return [a for a in asked if not condition.kinds or a.prompt.cluster in condition.kinds]
