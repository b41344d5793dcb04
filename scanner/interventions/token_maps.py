"""Prompts of a contrast set read token by token: where in them a feature fires or a probe leans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, cast

from torch import Tensor

from ..findings import TokenMap
from ..model.activations import token_states
from ..model.hook_points import HookPoint
from ..model.loading import LoadedModel
from .contrast_set import ContrastSet, Group

MOST_TOKENS = 200  # of a longer prompt the last ones, where the answer starts
GroupName = Literal["neutral", "triggered", "near_miss", "random"]


def read_tokens(
    loaded: LoadedModel,
    contrast: ContrastSet,
    rows: Iterable[int],
    layers: Sequence[int],
    *,
    hook: HookPoint = "resid_post",
) -> dict[int, dict[int, Tensor]]:
    """The states at every token of some rows of the contrast set: by row and layer [T, d], float32."""
    chosen = sorted(set(rows))
    read: dict[int, dict[int, Tensor]] = {}
    for index, _, states in token_states(loaded, [contrast.rows[row] for row in chosen], layers, hook=hook):
        for place in index.unique().tolist():
            read[chosen[place]] = {layer: states[layer][index == place] for layer in layers}
    return read


def token_map(loaded: LoadedModel, contrast: ContrastSet, row: int, values: Sequence[float]) -> TokenMap:
    """The map of one row of the contrast set, with one value a token."""
    ids = contrast.rows[row]
    skipped = max(0, len(ids) - MOST_TOKENS)
    return TokenMap(
        group=cast(GroupName, Group(contrast.groups[row]).name.lower()),
        tokens=[_text(loaded, token) for token in ids[skipped:]],
        values=[float(f"{value:.4g}") for value in values[skipped:]],
        skipped=skipped,
    )


def surest(contrast: ContrastSet, scored: Iterable[tuple[int, float]]) -> list[int]:
    """Of rows with their scores the highest one with the trigger and the highest one without, where there are any."""
    best: dict[bool, tuple[float, int]] = {}
    for row, score in scored:
        woken = contrast.groups[row] == Group.TRIGGERED
        best[woken] = max(best.get(woken, (float("-inf"), -1)), (score, row), key=lambda pair: pair[0])
    return [best[woken][1] for woken in (True, False) if woken in best]


def _text(loaded: LoadedModel, token: int) -> str:
    return loaded.piece(token) or str(loaded.tokenizer.convert_ids_to_tokens(token))
