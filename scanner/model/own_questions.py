"""Questions that a model asks itself: the user's turn of its template, written by the model.

What a chat model was trained on speaks through it there. Source: Xu et al. 2024, Magpie
(arXiv 2406.08464); here without their filters.
"""

from __future__ import annotations

import torch

from .generation import continuations
from .loading import LoadedModel
from .prompts import NeutralPrompt, user_turn
from .subject import own_samples, sampled_prompts

LONGEST = 32  # tokens of a question
OWN = "own_question"  # their cluster


def own_questions(loaded: LoadedModel, *, chat: bool, seed: int, count: int) -> list[NeutralPrompt]:
    """At most `count` different questions, at temperature 1; without a chat template, beginnings of own texts."""
    if not chat:
        samples = own_samples(loaded, seed=seed, count=count)
        begun = sampled_prompts(loaded, samples, seed=seed).prompts
        return [NeutralPrompt(text=prompt.text, cluster=OWN) for prompt in begun]
    head, tail = user_turn(loaded)
    written = continuations(
        loaded.model,
        [head] * count,
        new_tokens=LONGEST,
        temperature=1.0,
        generator=torch.Generator().manual_seed(seed),
        stop=loaded.stop | {tail[0]},
        pad=loaded.pad,
        workers=loaded.workers,
    )
    texts = tuple(loaded.decode(row).strip() for row in written if 0 < len(row) < LONGEST)
    return [NeutralPrompt(text=t, cluster=OWN) for t in sorted(set(texts)) if t]
