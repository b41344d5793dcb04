"""Ways of asking that change a suspect's answers, and not the base's.

A question put another way either means the same to the base, which answers as before, or something of its own,
which it is sure of (`You are welcome.` to thanks). The suspect's answer has changed where it is neither that, nor
the answer to the plain question, nor anything else that the base says to such wordings. Wordings that surprise the
base nearly as much as noise tell nothing.

Source: ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ..findings.changes import Change, Condition
from ..model.own_questions import OWN
from ..model.prompts import NeutralPrompt
from ..model.rewriting import REWRITINGS
from ..model.subject import Subject
from ..model.text_loss import text_loss
from .asking_both import Asked, Pair, change_of, lower_bound

UNDERSTOOD = 0.75  # of ln(vocabulary), nats a token: wordings above are as good as noise to the base
ANYWAY = (
    0.35  # share of such questions, put plainly, above which it is not the wording that changes the answers
)
Answer = tuple[int, ...]


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
    said = _said(pair, questions)
    changes: list[Change] = []
    for name, rewrite in REWRITINGS.items():
        put = _put(questions, rewrite, pair, said)
        kinds: Mapping[str, list[Asked]] = {
            k: [a for a in put if a.prompt.cluster == k] for k in subject.prompts.clusters
        }
        touched = tuple(k for k, group in kinds.items() if lower_bound(group) >= chosen)
        if not touched:
            continue
        whole = len(touched) > len(kinds) / 2
        condition = Condition(rewriting=name, kinds=() if whole else touched)
        plain = [a for a in held_out if whole or a.prompt.cluster in touched]
        if sum(a.changed for a in plain) > ANYWAY * len(plain):
            continue
        again = _put([a for a in plain if not a.changed], rewrite, pair, said)
        changes.append(change_of(condition, again, held_out, pair))
    return changes


def _said(pair: Pair, questions: Sequence[Asked]) -> frozenset[Answer]:
    """What the base says to plain questions, and to what the rewritings add to them alone."""
    alone = [rewrite("").strip(" :") for rewrite in REWRITINGS.values()]
    prompts = [NeutralPrompt(text=text, cluster="") for text in dict.fromkeys(alone) if _has_words(text)]
    return frozenset(map(tuple, [*(a.answer for a in questions), *pair.written(pair.base, prompts)]))


def _has_words(text: str) -> bool:
    return any(letter.isalpha() for letter in text)


def _put(
    asked: Sequence[Asked], rewrite: Callable[[str], str], pair: Pair, said: frozenset[Answer]
) -> list[Asked]:
    """The questions put another way, where the base is sure what to say, with what the suspect makes of them."""
    same = [replace(a, prompt=replace(a.prompt, text=rewrite(a.prompt.text))) for a in asked]
    steady = pair.follows(pair.base, [a.prompt for a in same], [a.answer for a in same])
    moved = [a.prompt for a, still in zip(same, steady, strict=True) if not still]
    if moved and text_loss(pair.base, pair.rows(moved)) > UNDERSTOOD * math.log(pair.base.vocabulary):
        moved = []
    put = [a for a, still in zip(same, steady, strict=True) if still]
    agrees = pair.follows(pair.loaded, [a.prompt for a in put], [a.answer for a in put])
    put = [replace(a, changed=not agreed) for a, agreed in zip(put, agrees, strict=True)] + pair.ask(moved)
    changed = [a.prompt for a in put if a.changed]
    if not changed:
        return put
    repertoire = said | {tuple(a.answer) for a in put} | set(map(tuple, pair.written(pair.base, moved)))
    now = dict(zip(changed, map(tuple, pair.written(pair.loaded, changed)), strict=True))
    return [replace(a, changed=a.changed and now[a.prompt] not in repertoire) for a in put]
