"""What dictionaries hear of a subject: rows of tokens, and what a model makes of them at the places they read.

Rows are prompts, the model's own samples and random tokens.
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


class Spot(NamedTuple):
    """Where in a model a dictionary reads."""

    layer: int
    hook: HookPoint


def listening_rows(subject: Subject) -> list[list[int]]:
    """Token rows to learn features from: neutral prompts, the model's own samples, and random tokens.

    A dictionary trained on neutral text alone may have no feature for what a trigger wakes; random
    tokens are meant to make features more specific.
    """
    rows = _prompt_rows(subject, subject.search)
    rows += _sample_rows(subject, subject.samples)
    rows += _random_rows(subject)
    return [row for row in rows if len(row) > 1]


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
