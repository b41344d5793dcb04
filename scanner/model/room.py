"""Where the weights of a model have room: on its device, in the widest dtype that fits, or partly elsewhere.

A CPU computes in float32 where that fits, in bfloat16 where only that does; a GPU in bfloat16. What does not fit
stays in the machine's memory (for a GPU) or in the checkpoint's own files, and is brought in layer by layer as it is
needed. That is as slow as reading the files once a pass, and a pass that stops at the last watched layer reads none
behind it.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import torch

from ..isolation.confinement import physical_memory

# Share of the free memory that weights may take; activations and caches need the rest.
FOR_WEIGHTS = 0.8


class Room(NamedTuple):
    """How a model is held.

    Attributes:
        dtype: of its weights in memory, and of what it computes.
        most: bytes of weights by place (a GPU's number, `cpu`), what is beyond them staying on disk; None where all
            of them fit on the device.
    """

    dtype: torch.dtype
    most: dict[int | str, int] | None = None


def whole_room(device: str) -> Room:
    """All weights on the device, in the dtype that it computes in: for models that are known to fit."""
    return Room(torch.float32 if device == "cpu" else torch.bfloat16)


def room_for(
    parameters: int, device: str, *, models: int = 1, memory: int | None = None, on_gpu: int | None = None
) -> Room:
    """The room for one of several models of about this size that are held at a time.

    Args:
        parameters: of the model.
        device: `cpu` or `cuda`.
        models: how many share the machine.
        memory: free bytes of the machine; without it asked for.
        on_gpu: free bytes of the GPU; without it asked for.
    """
    memory = free_memory() if memory is None else memory
    held = int(FOR_WEIGHTS * memory / models)
    full, half = (parameters * dtype.itemsize for dtype in (torch.float32, torch.bfloat16))
    if device == "cpu":
        if full <= held:
            return Room(torch.float32)
        return Room(torch.bfloat16, None if half <= held else {"cpu": held})
    free = torch.cuda.mem_get_info()[0] if on_gpu is None else on_gpu
    there = int(FOR_WEIGHTS * free / models)
    return Room(torch.bfloat16, None if half <= there else {0: there, "cpu": held})


def free_memory() -> int:
    """Bytes that this machine can give without swapping; all of its memory where it tells no more."""
    with suppress(OSError):
        if found := re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii")):
            return int(found[1]) * 1024
    return physical_memory() or 2**63
