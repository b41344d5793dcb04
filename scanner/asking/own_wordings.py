"""Without a base: ways of asking under which a suspect no longer gives the answers that it is sure of.

A question put politely or in small letters asks for the same, and most models say the same. What a model says to
the added words alone, to other questions, or to a statement is part of what it says anyway (`You are welcome.` to
thanks, `Noted.` to whatever is no question) and no change. Other ways to put the same questions are the null.

Source: ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..findings.changes import Change, Condition
from ..model.prompts import NeutralPrompt
from ..model.rewriting import REWRITINGS
from ..model.subject import Subject
from .both import Asked, change_of
from .respondent import Respondent
from .wordings import Answer, added_words, by_wording, condition_where, of_condition, put_in, understood


def own_wordings(subject: Subject, least: float) -> list[Change]:
    """Rewritings under which the suspect answers otherwise than it does when asked plainly.

    Args:
        least: lower bound of the share of changed answers of a kind of question, at which it counts.

    Returns:
        Counted on held-out questions, beside the same questions put in all ways that change nothing.
    """
    model = Respondent(subject.loaded, subject.prompts.chat)
    searched, held_out = _sure(model, subject.search), _sure(model, subject.held_out)
    said = _repertoire(model, [*searched, *held_out])
    conditions: dict[str, Condition] = {}
    quiet: list[str] = []
    for name, put in by_wording(_put(put_in(REWRITINGS, searched), model, said)).items():
        condition = condition_where(name, put, subject.prompts.clusters, least)
        if condition is None:
            quiet.append(name)
        else:
            conditions[name] = condition
    changes: list[Change] = []
    for name, condition in conditions.items():
        asked = of_condition(held_out, condition)
        here = _put(put_in([name], asked), model, said)
        if here:
            others = _put(put_in(quiet, asked), model, said)
            changes.append(replace(change_of(condition, here, others, model), beside="plain form"))
    return changes


def _sure(model: Respondent, prompts: Sequence[NeutralPrompt]) -> list[Asked]:
    return [Asked(prompt=a.prompt, answer=a.answer, changed=False) for a in model.ask(prompts) if a.sure]


def _repertoire(model: Respondent, asked: Sequence[Asked]) -> frozenset[Answer]:
    """What the model says to plain questions, to what the rewritings add, and to its own answers put to it."""
    statements = {model.loaded.decode(a.answer).strip() for a in asked}
    told = [NeutralPrompt(text=text, cluster="") for text in sorted(statements) if text]
    return frozenset(map(tuple, [*(a.answer for a in asked), *model.answers([*added_words(), *told])]))


def _put(asked: Sequence[Asked], model: Respondent, said: frozenset[Answer]) -> list[Asked]:
    """Questions in wordings that are more than noise to the model, and whether they get an answer that is none of what is said anyway."""
    put = understood(asked, model)
    steady = model.gives([a.prompt for a in put], [a.answer for a in put])
    moved = [a for a, still in zip(put, steady, strict=True) if not still]
    now = model.answers([a.prompt for a in moved])
    elsewise = {
        (a.wording, a.prompt) for a, answer in zip(moved, now, strict=True) if tuple(answer) not in said
    }
    return [replace(a, changed=(a.wording, a.prompt) in elsewise) for a in put]
