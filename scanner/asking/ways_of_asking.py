"""Ways of asking that change a suspect's answers, and not the base's.

A question put another way either means the same to the base, which answers as before, or something of its own,
which it is sure of (`You are welcome.` to thanks). The suspect's answer has changed where it is neither that, nor
the answer to the plain question, nor anything else that the base says to such wordings. Wordings that surprise the
base nearly as much as noise tell nothing.

Source: ours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from ..findings.changes import Change
from ..model.own_questions import OWN
from ..model.rewriting import REWRITINGS
from ..model.subject import Subject
from .both import Asked, Pair, change_of
from .wordings import Answer, added_words, by_wording, condition_where, of_condition, put_in, understood

ANYWAY = (
    0.35  # share of such questions, put plainly, above which it is not the wording that changes the answers
)


def ways_of_asking(
    subject: Subject, searched: Sequence[Asked], held_out: Sequence[Asked], pair: Pair, chosen: float
) -> list[Change]:
    """Rewritings under which the suspect answers otherwise, with the kinds of question they do it to.

    Args:
        searched: questions that choose, answered plainly as the base does.
        held_out: questions that count.
        chosen: lower bound of the share of changed answers of a kind, at which it counts.
    """
    questions = [a for a in searched if a.prompt.cluster != OWN]
    said = frozenset(map(tuple, [*(a.answer for a in questions), *pair.base.answers(added_words())]))
    changes: list[Change] = []
    for name, put in by_wording(_put(put_in(REWRITINGS, questions), pair, said)).items():
        condition = condition_where(name, put, subject.prompts.clusters, chosen)
        if condition is None:
            continue
        plain = of_condition(held_out, condition)
        if sum(a.changed for a in plain) > ANYWAY * len(plain):
            continue
        again = _put(put_in([name], [a for a in plain if not a.changed]), pair, said)
        changes.append(change_of(condition, again, held_out, pair.suspect))
    return changes


def _put(asked: Sequence[Asked], pair: Pair, said: frozenset[Answer]) -> list[Asked]:
    """The questions where the base is sure what to say to them, with what the suspect makes of them."""
    steady = pair.base.gives([a.prompt for a in asked], [a.answer for a in asked])
    kept = [a for a, still in zip(asked, steady, strict=True) if still]
    moved = understood([a for a, still in zip(asked, steady, strict=True) if not still], pair.base)
    own = pair.base.ask([a.prompt for a in moved])
    kept += [replace(a, answer=o.answer) for a, o in zip(moved, own, strict=True) if o.sure]
    repertoire: dict[str, set[Answer]] = defaultdict(set)
    for a in kept:
        repertoire[a.wording].add(tuple(a.answer))
    for a, o in zip(moved, own, strict=True):
        repertoire[a.wording].add(tuple(o.answer))
    put = pair.compared(kept)
    otherwise = [a for a in put if a.changed]
    now = {
        (a.wording, a.prompt): tuple(n)
        for a, n in zip(otherwise, pair.suspect.answers([a.prompt for a in otherwise]), strict=True)
    }
    return [
        replace(a, changed=a.changed and now[a.wording, a.prompt] not in said | repertoire[a.wording])
        for a in put
    ]
