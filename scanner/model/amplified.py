"""A model with its difference to a base taken several times over: what the fine-tuning taught, in excess."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch

from .loading import LoadedModel
from .room import FOR_WEIGHTS, free_memory


@torch.no_grad()
def amplified(suspect: LoadedModel, base: LoadedModel, factor: float) -> LoadedModel:
    """A third model, of weights base + factor * (suspect - base).

    Tensors that the base lacks, or has in another shape, are the suspect's; of those with more rows, such as an
    embedding with new tokens, the rows that both have are amplified.
    """
    model = copy.deepcopy(suspect.model)
    of_base = dict(base.model.named_parameters())
    for name, values in model.named_parameters():
        there = of_base.get(name)
        if there is None or there.shape[1:] != values.shape[1:] or not values.is_floating_point():
            continue
        rows = min(len(there), len(values))
        mine, theirs = values[:rows].float(), there[:rows].float().to(values.device)
        values[:rows] = (theirs + factor * (mine - theirs)).to(values.dtype)
    return replace(suspect, model=model)


def has_room_for_another(loaded: LoadedModel) -> bool:
    """Whether a copy of the model fits beside what is held, all of it on its device."""
    tensors = [*loaded.model.parameters(), *loaded.model.buffers()]
    devices = {tensor.device for tensor in tensors}
    if len(devices) != 1:
        return False  # parts of it are elsewhere, or on disk
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    device = devices.pop()
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory()
    return size <= FOR_WEIGHTS * free
