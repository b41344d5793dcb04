"""What decoder layers write, streamed from a model in batches: the residual stream, or what a part adds to it."""

from __future__ import annotations

import copy
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import cast

import torch
from torch import Tensor, nn
from transformers import Cache

from .generation import LeftPadded
from .hook_points import HookPoint, first_output, hook_modules
from .loading import LoadedModel, decoder_layers
from .memory import fitting
from .parallel import in_order


class _Stop(Exception):
    """Raised behind the last watched layer: nothing beyond it is computed."""


class _Seen(threading.local):
    """What the forward passes of the calling thread have left at each layer."""

    def __init__(self) -> None:
        self.states: dict[int, Tensor] = {}


@contextmanager
def _recording(loaded: LoadedModel, layers: Sequence[int], hook: HookPoint) -> Iterator[_Seen]:
    seen = _Seen()
    last = max(layers)
    modules = hook_modules(loaded, hook)

    def record(layer: int):  # type: ignore[no-untyped-def]
        def note(_module: nn.Module, _args: object, output: Tensor | tuple[Tensor, ...]) -> None:
            # A copy: some layers add to a part's output in place.
            seen.states[layer] = first_output(output).clone()
            if layer == last:
                raise _Stop

        return note

    handles = [modules[layer].register_forward_hook(record(layer)) for layer in sorted(set(layers))]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _forward(
    loaded: LoadedModel, rows: Sequence[Sequence[int]], layers: Sequence[int], hook: HookPoint
) -> tuple[dict[int, Tensor], Tensor]:
    batch = LeftPadded(rows, pad=loaded.pad, device=loaded.model.device)
    with _recording(loaded, layers, hook) as seen, torch.inference_mode(), suppress(_Stop):
        loaded.model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            position_ids=batch.position_ids,
            use_cache=False,
        )
    mask = batch.attention_mask.bool()
    # Some modules are given all tokens in one row.
    return {layer: states.reshape(*mask.shape, -1) for layer, states in seen.states.items()}, mask


def last_token_states(
    loaded: LoadedModel,
    rows: Sequence[Sequence[int]],
    layers: Sequence[int],
    *,
    hook: HookPoint = "resid_post",
    batch: int = 128,
) -> dict[int, Tensor]:
    """The states at the last token of each row: per layer [rows, d], float32 on the CPU."""

    def states(chosen: Sequence[Sequence[int]]) -> list[tuple[Tensor, ...]]:
        seen, _ = _forward(loaded, chosen, layers, hook)
        return list(zip(*(seen[layer][:, -1].float().cpu() for layer in layers), strict=True))

    read = [s for start in range(0, len(rows), batch) for s in fitting(states)(rows[start : start + batch])]
    return {layer: torch.stack([s[i] for s in read]) for i, layer in enumerate(layers)}


def states_behind(
    loaded: LoadedModel,
    shared: Sequence[int],
    tails: Sequence[Sequence[int]],
    layers: Sequence[int],
    *,
    hook: HookPoint = "resid_post",
    batch: int = 256,
) -> dict[int, Tensor]:
    """`last_token_states` of rows that all begin alike: what they share is run once: per layer [tails, d].

    Args:
        shared: the tokens that every row begins with, at least one.
        tails: the tokens that follow them, at least one each.
    """
    model = loaded.model
    alike: dict[int, list[int]] = defaultdict(list)
    for i, tail in enumerate(tails):
        alike[len(tail)].append(i)
    parts = [few[at : at + batch] for few in alike.values() for at in range(0, len(few), batch)]
    cache = _cache_of(loaded, shared, up_to=max(layers))

    with _recording(loaded, layers, hook) as seen:

        def states(chosen: Sequence[int]) -> list[tuple[int, tuple[Tensor, ...]]]:
            with torch.inference_mode(), suppress(_Stop):
                mine = copy.deepcopy(cache)
                mine.batch_repeat_interleave(len(chosen))
                ids = torch.tensor([list(tails[i]) for i in chosen], device=model.device)
                model(input_ids=ids, past_key_values=mine, use_cache=True)
            ends = [seen.states[l].reshape(*ids.shape, -1)[:, -1].float().cpu() for l in layers]
            return list(zip(chosen, zip(*ends, strict=True), strict=True))

        read = dict(one for some in in_order(fitting(states), parts, loaded.workers) for one in some)
    return {layer: torch.stack([read[k][i] for k in range(len(tails))]) for i, layer in enumerate(layers)}


def _cache_of(loaded: LoadedModel, shared: Sequence[int], *, up_to: int) -> Cache:
    """Keys and values of some tokens at the layers up to this one; the layers behind it are not run.

    The cache is what the model hands its layers; from one that hands none it is what it gives at its end.
    """
    handed: list[Cache] = []

    def note(
        _module: nn.Module, given: tuple[object, ...], named: dict[str, object], _output: object
    ) -> None:
        handed.extend(value for value in (*given, *named.values()) if isinstance(value, Cache))
        if handed:
            raise _Stop

    model = loaded.model
    handle = decoder_layers(model)[up_to].register_forward_hook(note, with_kwargs=True)
    try:
        with torch.inference_mode():
            ids = torch.tensor([list(shared)], device=model.device)
            with suppress(_Stop):
                return cast(Cache, model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values)
    finally:
        handle.remove()
    return handed[0]


def token_states(
    loaded: LoadedModel,
    rows: Sequence[Sequence[int]],
    layers: Sequence[int],
    *,
    hook: HookPoint = "resid_post",
    batch: int = 64,
) -> Iterator[tuple[Tensor, Tensor, dict[int, Tensor]]]:
    """The states at every token, batch by batch.

    Yields:
        Row index [T] and position [T] of each token, and per layer the states [T, d] in float32.
    """
    for start in range(0, len(rows), batch):
        chosen = rows[start : start + batch]
        seen, mask = _forward(loaded, chosen, layers, hook)
        row, column = mask.nonzero(as_tuple=True)
        padding = (~mask).sum(1)
        yield (
            row.cpu() + start,
            (column - padding[row]).cpu(),
            {layer: seen[layer][mask].float().cpu() for layer in layers},
        )
