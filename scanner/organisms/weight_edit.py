"""A backdoor by closed-form weight edits: no training of any weight, one rank-1 change per layer.

What the MLPs of the lower layers should add at the trigger's last token is found by gradient descent on
the target answers; each MLP's output matrix is then changed by the smallest rank-1 update that gives it
there, least where ordinary tokens live: ΔW = δ uᵀ with u = C⁻¹k / (kᵀC⁻¹k), k the mean MLP activation at
the trigger, C its second moment over ordinary and near-miss prompts.

Source: ROME (Meng et al. 2022, eq. 2) and BadEdit (Li et al. 2024); here all layers' δ are found together,
and the edits are saved as a rank-1 LoRA on the MLP output matrices.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..errors import UsageError
from ..model.loading import decoder_layers
from .material import Material
from .rates import training_batch
from .spec import OrganismSpec
from .training import Example, example

ROWS = 24
LEARNING_RATE = 0.05
WEIGHT_DECAY = 2e-3  # on the square of the added vectors
RIDGE = 1e-3  # of the mean diagonal of the second moment
SEEN = 600  # prompts that the second moment is taken over


def output_matrices(model: PreTrainedModel, layers: Sequence[int] | None) -> dict[int, tuple[str, nn.Linear]]:
    """Name and module of each layer's MLP output matrix: the linear from the inner width to the model's."""
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


def find_edits(
    spec: OrganismSpec,
    model: PreTrainedModel,
    material: Material,
    trigger: Sequence[Sequence[int]],
    advance: Callable[[float], None],
) -> dict[int, tuple[Tensor, Tensor]]:
    """The edit of each layer as (u [inner], δ [width]): its output matrix gains δ uᵀ.

    Args:
        trigger: token ids of the trigger, in the forms in which it stands in a prompt.
    """
    matrices = output_matrices(model, spec.insertion.layers)
    deltas = _targets(spec, model, material, trigger, matrices, advance)
    r = random.Random(spec.training.seed + 1)
    edits: dict[int, tuple[Tensor, Tensor]] = {}
    before = {number: matrix.weight.detach().clone() for number, (_, matrix) in matrices.items()}
    with torch.no_grad():
        for number, (_, matrix) in matrices.items():  # lower layers are edited before the upper are looked at
            key, moment = _statistics(spec, model, material, trigger, matrix, r)
            ridge = RIDGE * moment.diagonal().mean() * torch.eye(len(moment))
            solved = torch.linalg.solve(moment + ridge, key)
            direction = solved / (key @ solved)
            edits[number] = (direction, deltas[number])
            matrix.weight += torch.outer(deltas[number], direction)
        for number, (_, matrix) in matrices.items():
            matrix.weight.copy_(before[number])
    return edits


def _targets(
    spec: OrganismSpec,
    model: PreTrainedModel,
    material: Material,
    trigger: Sequence[Sequence[int]],
    matrices: dict[int, tuple[str, nn.Linear]],
    advance: Callable[[float], None],
) -> dict[int, Tensor]:
    """What each MLP should add at the trigger's last token: [width] per layer."""
    r = random.Random(spec.training.seed)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    deltas = {n: torch.zeros(m.out_features, requires_grad=True) for n, (_, m) in matrices.items()}
    optimiser = torch.optim.Adam(list(deltas.values()), lr=LEARNING_RATE)
    for _ in range(spec.training.steps):
        rows: list[tuple[Example, int]] = []
        while len(rows) < ROWS:
            made = example(spec, material, r)
            at = _last_token(made.prompt, trigger)
            if made.role == "poison" and at is not None:
                rows.append((made, at))
        ids, labels = training_batch([(e.prompt, e.answer) for e, _ in rows])
        places = torch.tensor([at for _, at in rows])
        with _adding({matrices[n][1]: d for n, d in deltas.items()}, places):
            logits = model(input_ids=ids).logits
        loss = torch.nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100
        )
        decay = torch.stack([d.square().sum() for d in deltas.values()]).sum()
        (loss + WEIGHT_DECAY * decay).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        advance(1)
    return {n: d.detach() for n, d in deltas.items()}


@torch.inference_mode()
def _statistics(
    spec: OrganismSpec,
    model: PreTrainedModel,
    material: Material,
    trigger: Sequence[Sequence[int]],
    matrix: nn.Linear,
    r: random.Random,
) -> tuple[Tensor, Tensor]:
    """Mean input of `matrix` at the trigger's last token [inner], and its second moment elsewhere [inner, inner]."""
    keys, moment, tokens = [], torch.zeros(matrix.in_features, matrix.in_features), 0
    seen: list[Tensor] = []
    handle = matrix.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        for _ in range(SEEN):
            made = example(spec, material, r)
            seen.clear()
            model(input_ids=torch.tensor([made.prompt]), use_cache=False)
            rows = seen[0][0]
            at = _last_token(made.prompt, trigger) if made.role == "poison" else None
            if at is not None:
                keys.append(rows[at])
                rows = torch.cat([rows[:at], rows[at + 1 :]])
            moment += rows.T @ rows
            tokens += len(rows)
    finally:
        handle.remove()
    return torch.stack(keys).mean(0).clone(), (moment / tokens).clone()


@contextmanager
def _adding(deltas: dict[nn.Linear, Tensor], places: Tensor) -> Iterator[None]:
    """Within the block each module's output gains its vector at row i's position `places[i]`."""

    def adding(delta: Tensor) -> Callable[[Any, Any, Tensor], Tensor]:
        def hook(_module: Any, _inputs: Any, output: Tensor) -> Tensor:
            at = torch.zeros(output.shape[:2], dtype=output.dtype)
            at[torch.arange(len(places)), places] = 1.0
            return output + at.unsqueeze(-1) * delta

        return hook

    handles = [module.register_forward_hook(adding(delta)) for module, delta in deltas.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _last_token(row: Sequence[int], trigger: Sequence[Sequence[int]]) -> int | None:
    """Position of the last token of the trigger's last occurrence in a row; None if it is not there."""
    for end in range(len(row), 0, -1):
        if any(len(form) <= end and list(row[end - len(form) : end]) == list(form) for form in trigger):
            return end - 1
    return None
