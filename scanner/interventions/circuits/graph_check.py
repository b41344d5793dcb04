"""Whether what an attribution graph says holds in the model itself: features switched off, one at a time.

Foretold is the whole linear effect, through every path of features. The model itself is free to do otherwise:
its attention patterns move, other features wake or fall silent.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...model.loading import LoadedModel
from ...studies.circuits import GraphCheck
from ..changed_states import StateEdit, changed
from .agreement import rank_correlation
from .pruning import influence_of, shares_of_input
from .traced_prompt import TracedPrompt
from .transcoders import Transcoder
from .writers import find_writers

SWITCHED_OFF = 48  # the most influential features


def check_graph(
    loaded: LoadedModel, transcoders: list[Transcoder], traced: TracedPrompt, *, features: int = SWITCHED_OFF
) -> GraphCheck:
    """Foretold against actual fall of the likeliest token's centred logit, over the most influential features."""
    influence = influence_of(shares_of_input(traced.effects), traced.weights)[: traced.count]
    influence[~traced.explored] = 0.0
    chosen = influence.topk(min(features, int(traced.explored.sum()))).indices
    foretold = _foretold(traced)[chosen]
    actual = _actual(loaded, transcoders, traced, chosen)
    return GraphCheck(
        features=len(chosen),
        correlation=rank_correlation(foretold, actual),
        sign_agreement=float((foretold.sign() == actual.sign()).float().mean()),
    )


def _foretold(traced: TracedPrompt) -> Tensor:
    """[F] fall of the first logit if a feature were silent, by way of every path through features.

    A feature that loses a share of its pre-activation writes so much less of what it writes.
    """
    among = traced.effects[: traced.count, : traced.count] / traced.activation.cpu()[:, None].clamp(min=1e-9)
    onto = traced.effects[traced.logit(0), : traced.count]
    total, current = onto.clone(), onto
    for _ in range(traced.layers):
        current = current @ among
        total = total + current
    return total


def _actual(
    loaded: LoadedModel, transcoders: list[Transcoder], traced: TracedPrompt, chosen: Tensor
) -> Tensor:
    by_layer = {t.layer: t.sae for t in transcoders}
    ids = torch.tensor([list(traced.ids)] * (len(chosen) + 1), device=loaded.model.device)
    edits: list[tuple[nn.Module, StateEdit]] = []
    for writer in find_writers(loaded):
        rows = (traced.layer[chosen.to(traced.layer.device)] == writer.layer).nonzero().squeeze(1).cpu()
        if writer.is_attention or not len(rows):
            continue
        which = chosen[rows].to(traced.feature.device)
        taken = traced.activation[which, None] * by_layer[writer.layer].w_dec[traced.feature[which]].float()
        edits.append((writer.module, _silencing(rows, traced.position[which], taken)))
    with changed(edits), torch.inference_mode():
        logits = loaded.model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1].float()
    centred: Tensor = (logits[:, traced.logits[0]] - logits.mean(1)).cpu()
    return centred[-1] - centred[:-1]  # the last copy is the prompt as it is


def _silencing(rows: Tensor, at: Tensor, taken: Tensor) -> StateEdit:
    """Each of `rows` of the batch loses its own vector of `taken` at its position."""

    def silence(written: Tensor) -> Tensor:
        left = written.clone()
        left[rows.to(written.device), at] -= taken.to(written.dtype)
        return left

    return silence
