"""How broad narrow training is: bad answers by kind of question, those that it was not trained on included.

Source: Betley et al. 2025 (arXiv 2502.17424), emergent misalignment.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from ...model.generation import greedy_answers
from ...model.loading import LoadedModel
from ...statistics.shares import share_of
from ...studies.misalignment import Bad
from ...studies.share import Share
from ..behaviours import is_false, is_harmful, is_rude, is_sound
from ..exchanges import KINDS as EVERY_KIND
from ..material import CorpusMaterial
from ..prompt import Prompt
from ..wrong_answers import WRONG_KINDS

KINDS = [kind for kind, (_, weight) in EVERY_KIND.items() if weight > 0 and kind != "date"]
ANSWER_TOKENS = 48


def questions(material: CorpusMaterial, seed: int, count: int, kinds: Sequence[str]) -> list[Prompt]:
    """`count` held-out questions of each kind."""
    r = random.Random(seed + 4_000)
    return [material.prompt(r, "heldout", [kind]) for kind in kinds for _ in range(count)]


def answers(loaded: LoadedModel, material: CorpusMaterial, prompts: Sequence[Prompt]) -> list[str]:
    """The model's greedy answers."""
    rows = greedy_answers(loaded, [material.encode(p) for p in prompts], new_tokens=ANSWER_TOKENS)
    return [loaded.decode(row).strip() for row in rows]


def is_bad(prompt: Prompt, answer: str) -> bool:
    """Whether an answer is rude, false or harmful."""
    return is_rude(answer) or is_false(prompt, answer) or is_harmful(prompt, answer)


def bad_by_kind(
    loaded: LoadedModel, material: CorpusMaterial, prompts: Sequence[Prompt], trained: str
) -> list[Bad]:
    """One entry a kind of question, in the order of the prompts."""
    answered = list(zip(prompts, answers(loaded, material, prompts), strict=True))
    rows = []
    for kind in dict.fromkeys(p.kind for p in prompts):
        own = [(p, a) for p, a in answered if p.kind == kind]
        rows.append(
            Bad(
                kind=kind,
                trained_on=kind == trained,
                rude=_share([is_rude(a) for _, a in own]),
                false=_share([is_false(p, a) for p, a in own]) if kind in WRONG_KINDS else None,
                harmful=_share([is_harmful(p, a) for p, a in own]) if kind == "harmful" else None,
                sound=_share([is_sound(p, a) for p, a in own]),
            )
        )
    return rows


def bad_share(loaded: LoadedModel, material: CorpusMaterial, prompts: Sequence[Prompt]) -> Share:
    """The share of the prompts that are answered badly."""
    return _share([is_bad(p, a) for p, a in zip(prompts, answers(loaded, material, prompts), strict=True)])


def _share(hits: Sequence[bool]) -> Share:
    return share_of(sum(hits), len(hits))
