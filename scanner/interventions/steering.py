"""Steering a model while it runs: several edits of the residual stream at once, for as long as a block lasts.

    with steered(loaded, [AddDirection(layer=2, direction=d, strength=4), ablate_features(3, sae, [17])]):
        loaded.model.generate(...)

Works wherever the decoder layers can be hooked, batched and with a key-value cache: a step of one token is
edited like the pass over the prompt. The model is itself again behind the block, whatever happened in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from ..model.generation import greedy_answers
from ..model.loading import LoadedModel, decoder_layers
from ..model.text_loss import text_loss
from ..statistics.shares import share_of
from ..studies.share import Share
from ..studies.steering import SteeringEffect
from .changed_states import StateEdit, changed
from .edits import Edit, Positions

NEW_TOKENS = 24


class Unsteered(NamedTuple):
    """What a model does without any edit: the behaviour's rate, and the ordinary loss in nats a token."""

    rate: Share
    loss: float


@contextmanager
def steered(loaded: LoadedModel, edits: Sequence[Edit]) -> Iterator[None]:
    """Within the block every edit acts behind its layer; edits of one layer act in the order given.

    Prompts must be padded on the left, as generation has them, for edits of `answer` positions.

    Raises:
        ValueError: an edit names a layer that the model lacks, or does not fit its width.
    """
    modules = decoder_layers(loaded.model)
    for edit in edits:
        if not 0 <= edit.layer < len(modules):
            raise ValueError(f"an edit needs a layer from 0 to {len(modules) - 1}, got {edit.layer}")
    with changed([(modules[edit.layer], _at(edit.positions, edit.on(loaded))) for edit in edits]):
        yield


def _at(positions: Positions, act: StateEdit) -> StateEdit:
    """An edit of states [N, d] as one of states [B, T, d], at its positions."""

    def edit(states: Tensor) -> Tensor:
        if positions == "all" or states.shape[1] == 1:
            return act(states.reshape(-1, states.shape[-1])).reshape(states.shape)
        # The prompt: only the state that the answer starts from.
        return torch.cat([states[:, :-1], act(states[:, -1])[:, None]], dim=1)

    return edit


def measure_steering(
    loaded: LoadedModel,
    edits: Sequence[Edit],
    *,
    prompts: Sequence[Sequence[int]],
    shows: Callable[[int, str], bool],
    ordinary: Sequence[Sequence[int]],
    new_tokens: int = NEW_TOKENS,
    plain: Unsteered | None = None,
) -> SteeringEffect:
    """How often a behaviour shows and how large the ordinary loss is, without the edits and with them.

    Args:
        prompts: token ids up to where the answer starts.
        shows: whether the answer (a text) to the prompt of that number shows the behaviour.
        ordinary: token rows of ordinary text. An edit of `answer` positions touches one token a row there;
            its cost is then that of the answers that it is meant for.
        plain: what was counted on the same prompts and rows without the edits; None to count it here.
    """

    def answers() -> list[str]:
        written = greedy_answers(loaded, prompts, new_tokens=new_tokens)
        return [loaded.decode(row) for row in written]

    def rate(texts: Sequence[str]) -> Share:
        hits = sum(shows(i, text) for i, text in enumerate(texts))
        return share_of(hits, len(texts))

    if plain is None:
        plain = Unsteered(rate(answers()), text_loss(loaded, ordinary))
    with steered(loaded, edits):
        changed, steered_loss = answers(), text_loss(loaded, ordinary)
    return SteeringEffect(
        edits=[edit.describe() for edit in edits],
        plain=plain.rate,
        steered=rate(changed),
        plain_loss=plain.loss,
        steered_loss=steered_loss,
        example=changed[0] if changed else "",
    )
