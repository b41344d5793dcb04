"""The room of a scan's models beside those of the scans that run on the machine at the same time."""

from __future__ import annotations

from ..config import Beside
from .room import Room, free_memory, room_for


def room_beside(parameters: int, device: str, *, with_base: bool, memory: int | None = None) -> Room:
    """The room for each model of this process's scan, by what it was told of the others (`Beside`).

    Args:
        parameters: of one model.
        device: `cpu` or `cuda`.
        with_base: whether a base is held beside every suspect, or one beside all of them.
        memory: free bytes of the machine before any of the scans began; without it those that are free now.
    """
    beside = Beside.told()
    free = (free_memory() if memory is None else memory) // beside.workers
    return room_for(parameters, device, models=beside.models(with_base=with_base), memory=free)
