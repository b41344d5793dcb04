"""What dictionaries hear of a subject: rows of tokens, and what a model makes of them at the places they read.

Rows are prompts, the model's own samples and random tokens. A scan learns from all of them; a dictionary that is made
to be kept is measured on texts that it did not learn from.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..model.activations import token_states
from ..model.hook_points import HookPoint
from ..model.prompts import NeutralPrompt, encode
from ..model.subject import Subject
from ..progress import Progress

RANDOM_ROWS, RANDOM_LENGTH = 160, 48
SAMPLE_LENGTH = 96
MEASURED_TOKENS = 8_192
SET_ASIDE = 10  # one text in so many is measured on


class Spot(NamedTuple):
    """Where in a model a dictionary reads."""

    layer: int
    hook: HookPoint


class SplitRows(NamedTuple):
    """Token rows to learn from and rows to measure on; no text is in both.

    Attributes:
        learned: for training.
        set_aside: other texts of the same sources, in random order, up to about `MEASURED_TOKENS` tokens.
        held_out: held-out prompts that stand word for word in no text that is learned from, as the model is asked them.
    """

    learned: list[list[int]]
    set_aside: list[list[int]]
    held_out: list[list[int]]


def listening_rows(subject: Subject) -> list[list[int]]:
    """Token rows to learn features from: neutral prompts, the model's own samples, and random tokens.

    A dictionary trained on neutral text alone may have no feature for what a trigger wakes; random
    tokens are meant to make features more specific.
    """
    rows = _prompt_rows(subject, subject.search)
    rows += _sample_rows(subject, subject.samples)
    rows += _random_rows(subject)
    return [row for row in rows if len(row) > 1]


def split_rows(subject: Subject) -> SplitRows:
    """The listening rows with a share of the texts set aside whole, so that figures can be those on unseen text.

    Set aside are one in ten of the samples and of the random rows, and as large a share of held-out prompts as of
    the others. Where the prompts were cut from samples, those samples are set aside instead, and no prompt is learned
    from: all of them stand in what is set aside. A sample that the model wrote twice is on one side.
    """
    if subject.cut_samples:
        chosen = range(subject.cut_samples)
        prompts: tuple[NeutralPrompt, ...] = ()
    else:
        chosen = range(SET_ASIDE - 1, len(subject.samples), SET_ASIDE)
        prompts = subject.search
    apart = {_words(subject.samples[i]) for i in chosen}
    learned = [sample for sample in subject.samples if _words(sample) not in apart]
    unseen = _unseen(subject.held_out, [*learned, *(p.text for p in prompts)])
    at_random = _random_rows(subject)
    set_aside = _prompt_rows(subject, unseen[: len(prompts) // (SET_ASIDE - 1)])
    set_aside += _sample_rows(subject, [sample for sample in subject.samples if _words(sample) in apart])
    set_aside += at_random[SET_ASIDE - 1 :: SET_ASIDE]
    del at_random[SET_ASIDE - 1 :: SET_ASIDE]
    rows = _prompt_rows(subject, prompts) + _sample_rows(subject, learned) + at_random
    return SplitRows(
        learned=[row for row in rows if len(row) > 1],
        set_aside=_first_tokens(set_aside, subject.seed),
        held_out=_prompt_rows(subject, unseen),
    )


def hear(
    subject: Subject, rows: Sequence[list[int]], spots: Sequence[Spot], progress: Progress
) -> dict[Spot, Tensor]:
    """The states at every token but the first of each row, in one random order: float32 [tokens, d] a spot."""
    parts: dict[Spot, list[Tensor]] = {spot: [] for spot in spots}
    by_hook = layers_by_hook(list(parts))
    with progress.stage("listening inside the model", len(rows) * len(by_hook)) as stage:
        for hook, layers in by_hook.items():
            for _, position, states in token_states(subject.loaded, rows, layers, hook=hook):
                inner = position > 0  # the first token's residual is an outlier that says nothing
                for layer in layers:
                    parts[Spot(layer, hook)].append(states[layer][inner])
                stage.advance(min(64, len(rows)))
    shuffle = torch.randperm(
        sum(len(p) for p in parts[spots[0]]), generator=torch.Generator().manual_seed(subject.seed)
    )
    return {spot: torch.cat(pieces)[shuffle] for spot, pieces in parts.items()}


def layers_by_hook(spots: Sequence[Spot]) -> dict[HookPoint, list[int]]:
    """The layers that are read at each hook point."""
    found: dict[HookPoint, list[int]] = defaultdict(list)
    for layer, hook in spots:
        found[hook].append(layer)
    return found


def _prompt_rows(subject: Subject, prompts: Sequence[NeutralPrompt]) -> list[list[int]]:
    return [encode(subject.loaded, prompt, chat=subject.prompts.chat) for prompt in prompts]


def _sample_rows(subject: Subject, samples: Sequence[str]) -> list[list[int]]:
    tokenizer = subject.loaded.tokenizer
    return [list(tokenizer(s, add_special_tokens=False).input_ids)[:SAMPLE_LENGTH] for s in samples]


def _random_rows(subject: Subject) -> list[list[int]]:
    loaded, r = subject.loaded, random.Random(subject.seed)
    special = set(loaded.tokenizer.all_special_ids)
    ordinary = [i for i in range(loaded.vocabulary) if i not in special]
    return [[*loaded.start, *r.choices(ordinary, k=RANDOM_LENGTH)] for _ in range(RANDOM_ROWS)]


def _unseen(prompts: Sequence[NeutralPrompt], learned: Sequence[str]) -> list[NeutralPrompt]:
    """Those that stand word for word in none of these texts."""
    texts = [f" {_words(text)} " for text in learned]
    return [p for p in prompts if not any(f" {_words(p.text)} " in text for text in texts)]


def _words(text: str) -> str:
    """The text with its white space made alike: what is cut from a sample has single blanks."""
    return " ".join(text.split())


def _first_tokens(rows: Sequence[list[int]], seed: int) -> list[list[int]]:
    """Rows in random order until there are tokens enough to measure on."""
    mixed = [row for row in rows if len(row) > 1]
    random.Random(seed).shuffle(mixed)
    kept, tokens = [], 0
    for row in mixed:
        if tokens >= MEASURED_TOKENS:
            break
        kept.append(row)
        tokens += len(row) - 1
    return kept
