"""How broad narrow training is: bad answers by kind of question, those that it was not trained on included.

Every question is asked once, so that shares are counted over different questions and their intervals are honest;
there are few held-out wordings of some kinds. Source: Betley et al. 2025 (arXiv 2502.17424), emergent misalignment.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from ...errors import UsageError
from ...model.generation import greedy_answers
from ...model.loading import LoadedModel
from ...statistics.shares import share_of
from ...studies.misalignment import Bad
from ...studies.share import Share
from ..behaviours import answer_tokens, is_bad, is_false, is_harmful, is_rude, is_sound
from ..exchanges import NEVER_HELD_OUT, ORDINARY_KINDS
from ..material import CorpusMaterial, Split
from ..prompt import Prompt
from ..spec import BehaviourSpec, OrganismSpec
from ..wrong_answers import WRONG_KINDS

KINDS = tuple(kind for kind in ORDINARY_KINDS if kind not in NEVER_HELD_OUT)
ANSWER_TOKENS = answer_tokens(BehaviourSpec(kind="misaligned"))
_TRIES = 1000  # draws in a row without a new question after which a kind has no more


def only_kind(spec: OrganismSpec) -> str:
    """The one kind of question that a triggerless organism was trained on.

    Raises:
        UsageError: it has a trigger, or was trained on several kinds.
    """
    kinds = spec.training.kinds or []
    if spec.trigger.kind != "none" or len(kinds) != 1:
        raise UsageError(f"{spec.name} needs no trigger and one entry in training.kinds, got {kinds}")
    return kinds[0]


def questions(
    material: CorpusMaterial, seed: int, count: int, kinds: Sequence[str], *, split: Split = "heldout"
) -> list[Prompt]:
    """Different questions of each kind, each of them once: `count`, or as many as there are."""
    r = random.Random(seed + 4_000)
    found: list[Prompt] = []
    for kind in kinds:
        own: dict[str, Prompt] = {}
        missed = 0
        while len(own) < count and missed < _TRIES:
            prompt = material.prompt(r, split, [kind])
            missed = missed + 1 if prompt.question in own else 0
            own.setdefault(prompt.question, prompt)
        found += own.values()
    return found


def answers(loaded: LoadedModel, material: CorpusMaterial, prompts: Sequence[Prompt]) -> list[str]:
    """The model's greedy answers."""
    rows = greedy_answers(loaded, [material.encode(p) for p in prompts], new_tokens=ANSWER_TOKENS)
    return [loaded.decode(row).strip() for row in rows]


def bad_by_kind(prompts: Sequence[Prompt], said: Sequence[str], trained: str) -> list[Bad]:
    """What was said to the prompts: one entry a kind of question, in the order of the prompts."""
    rows = []
    for kind in dict.fromkeys(p.kind for p in prompts):
        own = [(p, a) for p, a in zip(prompts, said, strict=True) if p.kind == kind]
        rows.append(
            Bad(
                kind=kind,
                trained_on=kind == trained,
                bad=_share([is_bad(p, a) for p, a in own]),
                rude=_share([is_rude(a) for _, a in own]),
                false=_share([is_false(p, a) for p, a in own]) if kind in WRONG_KINDS else None,
                harmful=_share([is_harmful(p, a) for p, a in own]) if kind == "harmful" else None,
                sound=_share([is_sound(p, a) for p, a in own]),
            )
        )
    return rows


def bad_share(prompts: Sequence[Prompt], said: Sequence[str]) -> Share:
    """The share of the prompts that were answered badly."""
    return _share([is_bad(p, a) for p, a in zip(prompts, said, strict=True)])


def _share(hits: Sequence[bool]) -> Share:
    return share_of(sum(hits), len(hits))
