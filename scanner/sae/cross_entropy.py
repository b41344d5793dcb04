"""What a dictionary costs the model that it was trained on: its loss with the dictionary spliced in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..model.generation import LeftPadded
from ..model.hook_points import HookPoint, first_output, hook_modules
from ..model.loading import LoadedModel
from ..model.memory import fitting
from ..model.text_loss import token_losses
from .autoencoder import SparseAutoencoder

BATCH = 32


class SplicedLoss(NamedTuple):
    """Next-token loss in nats a token: of the model as it is, and with something else at one hook point.

    The first token of a row is left as it is in all three: its state is an outlier that dictionaries do not learn.

    Attributes:
        plain: nothing is changed.
        spliced: the dictionary's reconstruction stands there.
        ablated: zeros stand there.
    """

    plain: float
    spliced: float
    ablated: float

    @property
    def recovered(self) -> float:
        """Share of what ablation costs that the reconstruction saves: 1 is perfect, 0 no better than zeros."""
        return (self.ablated - self.spliced) / (self.ablated - self.plain)


def spliced_loss(
    loaded: LoadedModel,
    sae: SparseAutoencoder,
    layer: int,
    rows: Sequence[Sequence[int]],
    *,
    hook: HookPoint = "resid_post",
) -> SplicedLoss:
    """The three losses over all tokens of all rows.

    Raises:
        ValueError: no row has two tokens, or the dictionary is a transcoder.

    Source: "CE loss score" of SAELens and "loss recovered" of Bricken et al. 2023, with zero ablation.
    """
    if sae.is_transcoder:
        raise ValueError(f"what it reads is to be replaced, got a transcoder to {sae.hook_out}")
    kept = [list(row) for row in rows if len(row) > 1]
    if not kept:
        raise ValueError("a loss needs rows of at least two tokens, got none")
    module = hook_modules(loaded, hook)[layer]

    def reconstructed(states: Tensor) -> Tensor:
        return sae.reconstruct(states.to(sae.w_enc)).to(states)

    ways: tuple[Callable[[Tensor], Tensor] | None, ...] = (None, reconstructed, torch.zeros_like)
    return SplicedLoss(*(_loss(loaded, kept, module, way) for way in ways))


@torch.inference_mode()
def _loss(
    loaded: LoadedModel,
    rows: Sequence[Sequence[int]],
    module: nn.Module,
    change: Callable[[Tensor], Tensor] | None,
) -> float:
    changed: list[Tensor] = []  # where the batch under way is changed: [B, T]

    def splice(_module: nn.Module, _given: object, output: Tensor | tuple[Tensor, ...]) -> object:
        if change is None:
            return None
        states = first_output(output)
        flat = states.reshape(-1, states.shape[-1]).clone()
        where = changed[-1].flatten().to(flat.device)
        flat[where] = change(flat[where])
        there = flat.reshape(states.shape)
        return (there, *output[1:]) if isinstance(output, tuple) else there

    def losses(chosen: Sequence[Sequence[int]]) -> list[tuple[float, int]]:
        batch = LeftPadded(chosen, pad=loaded.pad, device=loaded.model.device)
        changed.append(batch.attention_mask.bool() & (batch.position_ids > 0))
        return [(float(row.sum()), len(row)) for row in token_losses(loaded, batch)]

    handle = module.register_forward_hook(splice)
    try:
        parts = [fitting(losses)(rows[at : at + BATCH]) for at in range(0, len(rows), BATCH)]
    finally:
        handle.remove()
    totals = [one for part in parts for one in part]
    return sum(loss for loss, _ in totals) / sum(count for _, count in totals)
