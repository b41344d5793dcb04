"""Batched generation on any Hugging Face causal LM, over one key-value cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from transformers import PreTrainedModel

from .loading import LoadedModel
from .memory import fitting
from .parallel import in_order

BATCH = 128  # rows per forward pass
ENDED = 4  # greedy rows are left out of the batch once this part of them has ended: one in four


class LeftPadded:
    """Token rows padded on the left: `input_ids`, `attention_mask`, `position_ids`, each [B, T]."""

    def __init__(self, rows: Sequence[Sequence[int]], *, pad: int, device: torch.device | str) -> None:
        width = max(len(row) for row in rows)
        ids = torch.full((len(rows), width), pad, dtype=torch.long)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for i, row in enumerate(rows):
            if row:
                ids[i, width - len(row) :] = torch.tensor(row, dtype=torch.long)
                mask[i, width - len(row) :] = 1
        self.input_ids = ids.to(device)
        self.attention_mask = mask.to(device)
        self.position_ids = (mask.cumsum(1) - 1).clamp(min=0).to(device)


class Written(NamedTuple):
    """What a model writes.

    Attributes:
        tokens: without the stop token.
        worst: the lowest probability, in (0, 1], that it gave one of them or the stop token.
    """

    tokens: list[int]
    worst: float


def continuations(
    model: PreTrainedModel,
    rows: Sequence[Sequence[int]],
    *,
    new_tokens: int,
    stop: frozenset[int] = frozenset(),
    pad: int = 0,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
    batch: int = BATCH,
    workers: int = 1,
) -> list[list[int]]:
    """What the model writes after each row of tokens, without the stop token.

    Args:
        rows: prompts as token ids, each at least one token long.
        new_tokens: length at which a continuation is cut.
        stop: token ids that end a continuation.
        temperature: 0 is greedy; above 0, sampled with `generator`.
        batch: rows per forward pass, at most; rows of similar length share one.
        workers: forward passes at a time.

    Returns:
        One list of token ids a row, in the order given, each at most `new_tokens` long.
    """
    done = _write(model, rows, new_tokens, stop, pad, temperature, generator, batch, workers)
    return [written.tokens for written in done]


def greedy_answers(loaded: LoadedModel, rows: Sequence[Sequence[int]], *, new_tokens: int) -> list[list[int]]:
    """What a loaded model answers to each row of tokens, greedily, without the stop token."""
    return [written.tokens for written in weighed_answers(loaded, rows, new_tokens=new_tokens)]


def weighed_answers(loaded: LoadedModel, rows: Sequence[Sequence[int]], *, new_tokens: int) -> list[Written]:
    """What `greedy_answers` gives, with how sure the model is of each."""
    stop, pad, workers = loaded.stop, loaded.pad, loaded.workers
    return _write(loaded.model, rows, new_tokens, stop, pad, 0.0, None, BATCH, workers)


def _write(
    model: PreTrainedModel,
    rows: Sequence[Sequence[int]],
    new_tokens: int,
    stop: frozenset[int],
    pad: int,
    temperature: float,
    generator: torch.Generator | None,
    batch: int,
    workers: int,
) -> list[Written]:
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    size = max(1, min(batch, -(-len(rows) // workers)))
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    seeds = [_seed(generator) if temperature > 0 else 0 for _ in parts]

    def write(number: int) -> list[Written]:
        own = torch.Generator().manual_seed(seeds[number])

        def together(chosen: Sequence[Sequence[int]]) -> list[Written]:
            return _continue_batch(model, chosen, new_tokens, stop, pad, temperature, own)

        return fitting(together)([rows[i] for i in parts[number]])

    results: list[Written] = [Written([], 1.0)] * len(rows)
    for part, written in zip(parts, in_order(write, range(len(parts)), workers), strict=True):
        for i, one in zip(part, written, strict=True):
            results[i] = one
    return results


def _seed(generator: torch.Generator | None) -> int:
    return int(torch.randint(2**62, (1,), generator=generator))


@torch.inference_mode()
def _continue_batch(
    model: PreTrainedModel,
    rows: Sequence[Sequence[int]],
    new_tokens: int,
    stop: frozenset[int],
    pad: int,
    temperature: float,
    generator: torch.Generator | None,
) -> list[Written]:
    device = model.device
    padded = LeftPadded(rows, pad=pad, device=device)
    mask, positions = padded.attention_mask, padded.position_ids
    out = model(
        input_ids=padded.input_ids,
        attention_mask=mask,
        position_ids=positions,
        use_cache=True,
        logits_to_keep=1,
    )
    stops = torch.tensor(sorted(stop), dtype=torch.long, device=device)
    position, cache = positions[:, -1:], out.past_key_values
    left = torch.arange(len(rows), device=device)  # the row of the table that each row of the batch is
    table = torch.full((len(rows), new_tokens), -1, dtype=torch.long, device=device)
    worst = torch.zeros(len(rows), device=device)
    done = torch.zeros(len(rows), dtype=torch.bool, device=device)
    for step in range(new_tokens):
        logits = out.logits[:, -1].float()
        if temperature > 0:
            weights = torch.softmax(logits / temperature, dim=-1)
            token = torch.multinomial(weights.cpu(), 1, generator=generator).to(device).squeeze(1)
        else:
            token = logits.argmax(-1)
        odds = logits.gather(1, token.unsqueeze(1)).squeeze(1) - logits.logsumexp(1)
        worst[left] = torch.where(done, worst[left], torch.minimum(worst[left], odds))
        done |= torch.isin(token, stops)
        table[left, step] = torch.where(done, -1, token)
        if bool(done.all()) or step == new_tokens - 1:
            break
        mask = torch.cat([mask, mask.new_ones(len(left), 1)], dim=1)
        position, token = position + 1, token.masked_fill(done, pad)
        # Rows that have ended only cost time. A sampled batch stays whole, since its rows share one stream of draws.
        if temperature == 0 and int(done.sum()) * ENDED >= len(left) and _can_select(cache):
            kept = (~done).nonzero().squeeze(1)
            cache.batch_select_indices(kept)
            left, mask, position, token, done = (x[kept] for x in (left, mask, position, token, done))
        out = model(
            input_ids=token.unsqueeze(1),
            attention_mask=mask,
            position_ids=position,
            past_key_values=cache,
            use_cache=True,
        )
        cache = out.past_key_values
    return [
        Written([token for token in row if token >= 0], least)
        for row, least in zip(table.tolist(), worst.exp().tolist(), strict=True)
    ]


def _can_select(cache: object) -> bool:
    """Whether rows can be taken out of a key-value cache: not where a layer keeps a state of its own kind."""
    layers = getattr(cache, "layers", ())
    return bool(layers) and all(hasattr(layer, "batch_select_indices") for layer in layers)
