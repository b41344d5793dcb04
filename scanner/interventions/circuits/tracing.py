"""Tracing a prompt: the effect of every node of its graph on every other.

An edge is the linear effect of its source on its target's pre-activation (for a logit: on the logit minus the
mean logit), past every other MLP; `linearised.py` says what is held still meanwhile. Rows are computed where
they matter most first.

Source: Ameisen et al. 2025 (Circuit Tracing).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from ...model.loading import LoadedModel
from ...progress import Progress, Silent
from .linearised import Held, Inputs, linearised
from .pruning import influence_of, shares_of_input
from .traced_prompt import TracedPrompt
from .transcoders import Transcoder
from .writers import find_writers

LOGITS = 10
LOGIT_MASS = 0.95
TARGETS = 64  # rows of the graph a backward pass
EXPLORED = 1_024  # features whose inputs are traced, at most


def trace(
    loaded: LoadedModel,
    transcoders: Sequence[Transcoder],
    ids: Sequence[int],
    *,
    held: Held = "nothing",
    explored: int = EXPLORED,
    progress: Progress | None = None,
) -> TracedPrompt:
    """The graph of one prompt (token ids), unpruned."""
    writers = find_writers(loaded)
    with linearised(loaded, writers, held) as inputs, torch.enable_grad():
        logits = _pass(loaded, inputs, ids, 1)
        firing = _firing(transcoders, inputs)
        layer, position, feature, activation = (
            firing.layer,
            firing.position,
            firing.feature,
            firing.activation,
        )
        likeliest, chances = _likeliest(logits[0].detach().float())
        prompt = TracedPrompt(
            ids=tuple(ids),
            layer=layer,
            position=position,
            feature=feature,
            activation=activation,
            logits=tuple(likeliest.tolist()),
            chances=chances.cpu(),
            effects=torch.zeros(0),
            constants=torch.zeros(0),
            values=torch.zeros(0),
            explored=torch.zeros(len(feature), dtype=torch.bool),
            layers=len(transcoders),
        )
        directions = torch.cat([_rows(t.sae.w_dec, feature, layer, t.layer) for t in transcoders])
        encoders = torch.cat([_rows(t.sae.w_enc, feature, layer, t.layer) for t in transcoders])
        sources = _Sources(
            layer=layer,
            position=position,
            features=activation[:, None] * directions,
            errors=firing.errors,
            embedding=inputs.embedding[0].detach().float(),
            biases=torch.stack([t.sae.b_dec.float() for t in transcoders]),
        )

        effects = torch.zeros(prompt.size, prompt.size)
        constants, values = torch.zeros(prompt.size), torch.zeros(prompt.size)
        rows = slice(prompt.logit(0), prompt.size)
        effects[rows], constants[rows], values[rows] = _traced_logits(loaded, inputs, prompt, sources)
        values[: prompt.count] = activation.cpu()
        seen, weights = prompt.explored, prompt.weights
        limit = min(explored, prompt.count)
        with (progress or Silent()).stage("tracing features", limit) as stage:
            while int(seen.sum()) < limit:
                influence = influence_of(shares_of_input(effects), weights)[: prompt.count]
                influence[seen] = -1.0
                chosen = influence.topk(min(TARGETS, limit - int(seen.sum()))).indices
                chosen = chosen[influence[chosen] > 0]
                if not len(chosen):
                    break
                at = chosen.to(layer.device)
                effects[chosen], constants[chosen] = _traced_features(
                    loaded, inputs, prompt, sources, at, encoders[at]
                )
                seen[chosen] = True
                stage.advance(len(chosen))
    return replace(prompt, effects=effects, constants=constants, values=values)


class _Firing(NamedTuple):
    """The features that fire, [F] each, and what the transcoders leave out of their MLPs, [L, T, d]."""

    layer: Tensor
    position: Tensor
    feature: Tensor
    activation: Tensor
    errors: Tensor


def _firing(transcoders: Sequence[Transcoder], inputs: Inputs) -> _Firing:
    """What the transcoders make of the pass that has just ended."""
    entries, errors = [], []
    for transcoder in transcoders:
        read = inputs.read[transcoder.layer][0].detach().float()
        written = inputs.written[transcoder.layer][0].detach().float()
        codes = transcoder.sae.encode(read)
        on = codes.values > 0
        entries.append(
            (
                torch.full_like(codes.indices[on], transcoder.layer),
                codes.entry_tokens()[on],
                codes.indices[on],
                codes.values[on],
            )
        )
        errors.append(written - transcoder.sae.reconstruct(read, codes).float())
    layer, position, feature, activation = (torch.cat(parts) for parts in zip(*entries, strict=True))
    return _Firing(layer.long(), position.long(), feature.long(), activation, torch.stack(errors))


def _likeliest(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The fewest next tokens that hold most of the chance, and their probabilities: [K] each."""
    chances, tokens = logits.softmax(-1).topk(min(LOGITS, len(logits)))
    count = int((chances.cumsum(0) < LOGIT_MASS).sum()) + 1
    return tokens[:count], chances[:count]


@dataclass(frozen=True, kw_only=True)
class _Sources:
    """What every source writes: features [F, d] at (layer, position), errors [L, T, d], embeddings [T, d].

    Beside them the decoder biases [L, d], which are no nodes.
    """

    layer: Tensor
    position: Tensor
    features: Tensor
    errors: Tensor
    embedding: Tensor
    biases: Tensor

    def effects(self, on_written: Tensor, on_embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Rows [B, n - logits] of effects, and the biases' [B], from gradients [B, L, T, d] and [B, T, d]."""
        at = on_written[:, self.layer, self.position]  # [B, F, d]
        rows = torch.cat(
            [
                (at * self.features).sum(-1),
                (on_written * self.errors).sum(-1).flatten(1),
                (on_embedding * self.embedding).sum(-1),
            ],
            dim=1,
        )
        return rows.cpu(), (on_written.sum(2) * self.biases).sum((1, 2)).cpu()


def _rows(matrix: Tensor, feature: Tensor, layer: Tensor, wanted: int) -> Tensor:
    return matrix[feature[layer == wanted]].float()


def _pass(loaded: LoadedModel, inputs: Inputs, ids: Sequence[int], copies: int) -> Tensor:
    """Last-token logits [copies, vocabulary] of the prompt, side by side."""
    rows = torch.tensor([list(ids)] * copies, device=loaded.model.device)
    logits: Tensor = loaded.model(input_ids=rows, use_cache=False, logits_to_keep=1).logits[:, -1]
    return logits


def _traced_logits(
    loaded: LoadedModel, inputs: Inputs, prompt: TracedPrompt, sources: _Sources
) -> tuple[Tensor, Tensor, Tensor]:
    logits = _pass(loaded, inputs, prompt.ids, len(prompt.logits)).float()
    chosen = torch.tensor(prompt.logits, device=logits.device)
    centred = logits.gather(1, chosen[:, None]).squeeze(1) - logits.mean(1)
    return *_effects(inputs, prompt, sources, centred), centred.detach().cpu()


def _traced_features(
    loaded: LoadedModel,
    inputs: Inputs,
    prompt: TracedPrompt,
    sources: _Sources,
    rows: Tensor,
    encoders: Tensor,
) -> tuple[Tensor, Tensor]:
    _pass(loaded, inputs, prompt.ids, len(rows))
    read = torch.stack([inputs.read[layer] for layer in range(prompt.layers)], 1)  # [B, L, T, d]
    at = read[torch.arange(len(rows)), prompt.layer[rows], prompt.position[rows]]
    return _effects(inputs, prompt, sources, (at.float() * encoders).sum(-1))


def _effects(
    inputs: Inputs, prompt: TracedPrompt, sources: _Sources, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """Rows of effects on one target a copy of the prompt: [B, n], 0 from logits; and the biases' [B]."""
    leaves = [*(inputs.written[layer] for layer in range(prompt.layers)), inputs.embedding]
    *on_written, on_embedding = torch.autograd.grad(
        targets.sum(), leaves, allow_unused=True, materialize_grads=True
    )
    effects, constants = sources.effects(torch.stack(on_written, 1).float(), on_embedding.float())
    return torch.nn.functional.pad(effects, (0, len(prompt.logits))), constants
