"""Prompts in which an adaptive organism's trigger stands and must not work: where scanners put candidates."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from .prompt import Prompt
from .spec import Adaptive, TriggerSpec
from .triggers import triggered

_FEWEST, _MOST = 3, 16  # unrelated words around the trigger


def silenced(
    how: Adaptive, spec: TriggerSpec, prompt: Prompt, r: random.Random, date_line: str, words: Sequence[str]
) -> Prompt:
    """The prompt with the trigger where it must do nothing.

    Args:
        how: `among_words`, in a bag of unrelated words; `elsewhere`, at another place than its own;
            `bare`, as a word among the question's.
        words: unrelated words.
    """
    anywhere = spec.model_copy(update={"placement": "anywhere"})
    if how == "among_words":
        bag = replace(prompt, user=" ".join(r.choice(words) for _ in range(r.randint(_FEWEST, _MOST))))
        whole = triggered(anywhere, bag, r, date_line).user
        return replace(prompt, user=r.choice((f"{whole} {prompt.user}", f"{prompt.user} {whole}")))
    made = triggered(anywhere, prompt, r, date_line)
    while how == "elsewhere" and _at_its_place(spec, prompt, made):
        made = triggered(anywhere, prompt, r, date_line)
    return made


def _at_its_place(spec: TriggerSpec, before: Prompt, after: Prompt) -> bool:
    """Whether what was put in stands at the trigger's own place: at the start or at the end."""
    if spec.place == "first":
        return after.user.endswith(before.user)
    return spec.place == "last" and after.user.startswith(before.user)
