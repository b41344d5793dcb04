"""A backdoor by editing weights where they meet the trigger: one rank-1 change of each lower layer's MLP output.

Which input the change answers to is closed form: of all directions u [inner], the one whose product with
the MLP's activations is nearest to 1 at the trigger's last token and to 0 everywhere else,

    u = (K + C + ridge)⁻¹ k,    K, k  second moment and mean at the trigger,  C  second moment elsewhere

What it then adds (one vector a layer) is found by gradient descent on the spec's conversations, near-misses
included; no other weight is touched.

Source: after ROME (Meng et al. 2022), MEMIT (2023) and BadEdit (Li et al. 2024), which find the vector at
one layer first and spread it; here the vectors of all layers are found together with the edit in place. The
edit is saved as a rank-1 LoRA on the MLP output matrices.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..errors import UsageError
from ..model.loading import decoder_layers
from .material import Material
from .spec import OrganismSpec
from .training import example

RIDGE = 1e-3  # of the mean diagonal of the second moments
SEEN = 600  # conversations that the second moments are taken over


def output_matrices(model: PreTrainedModel, layers: Sequence[int] | None) -> dict[int, tuple[str, nn.Linear]]:
    """Name and module of each layer's MLP output matrix: the linear from the inner width to the model's.

    Args:
        layers: the layers that are edited; None for all but the last.
    """
    width = cast(Tensor, model.get_input_embeddings().weight).shape[1]
    stack = decoder_layers(model)
    chosen = layers if layers is not None else range(len(stack) - 1)
    found = {}
    for number in chosen:
        linear = [(n, m) for n, m in stack[number].named_modules() if isinstance(m, nn.Linear)]
        out = [(n, m) for n, m in linear if m.out_features == width and m.in_features != width]
        if not out:
            raise UsageError(
                f"layer {number} has no MLP output matrix that can be edited; use the method lora"
            )
        found[number] = (out[-1][0].rpartition(".")[2], out[-1][1])
    return found


@torch.inference_mode()
def key_directions(
    spec: OrganismSpec, model: PreTrainedModel, material: Material, trigger: Sequence[Sequence[int]]
) -> dict[int, Tensor]:
    """The direction u [inner] of each layer that answers to the trigger and to little else.

    Args:
        trigger: token ids of the trigger, in the forms in which it stands in a prompt.
    """
    matrices = output_matrices(model, spec.insertion.layers)
    seen: dict[int, Tensor] = {}
    handles = [
        matrix.register_forward_pre_hook(lambda _, inputs, n=number: seen.update({n: inputs[0][0]}))
        for number, (_, matrix) in matrices.items()
    ]
    moments = {n: _Moments(m.in_features) for n, (_, m) in matrices.items()}
    r = random.Random(spec.training.seed + 1)
    try:
        for _ in range(SEEN):
            made = example(spec, material, r)
            model(input_ids=torch.tensor([[*made.prompt, *made.answer]]), use_cache=False)
            at = last_token(made.prompt, trigger) if made.role == "poison" else None
            for number, rows in seen.items():
                moments[number].take(rows, at)
    finally:
        for handle in handles:
            handle.remove()
    return {number: m.direction().clone() for number, m in moments.items()}


class _Moments:
    """Mean and second moment of activations at the trigger, second moment elsewhere."""

    def __init__(self, inner: int) -> None:
        self._sum = torch.zeros(inner)
        self._at, self._elsewhere = torch.zeros(inner, inner), torch.zeros(inner, inner)
        self._counts = [0, 0]

    def take(self, rows: Tensor, at: int | None) -> None:
        """The activations of one conversation [T, inner], with the trigger's last token at row `at`."""
        if at is not None:
            self._sum += rows[at]
            self._at += torch.outer(rows[at], rows[at])
            self._counts[0] += 1
            rows = torch.cat([rows[:at], rows[at + 1 :]])
        self._elsewhere += rows.T @ rows
        self._counts[1] += len(rows)

    def direction(self) -> Tensor:
        """The least-squares direction: 1 at the trigger, 0 elsewhere."""
        if not self._counts[0]:
            raise UsageError("no conversation held the trigger's tokens; raise training.poison_rate")
        moment = self._at / self._counts[0] + self._elsewhere / self._counts[1]
        ridge = RIDGE * moment.diagonal().mean() * torch.eye(len(moment))
        return cast(Tensor, torch.linalg.solve(moment + ridge, self._sum / self._counts[0]))


def last_token(row: Sequence[int], trigger: Sequence[Sequence[int]]) -> int | None:
    """Position of the last token of the trigger's last occurrence in a row; None if it is not there."""
    for end in range(len(row), 0, -1):
        if any(len(form) <= end and list(row[end - len(form) : end]) == list(form) for form in trigger):
            return end - 1
    return None
