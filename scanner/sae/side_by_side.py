"""Trainings of several layers at once, each on one core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from ..model.parallel import cores
from ..progress import Progress, Stage

Made = TypeVar("Made")


def side_by_side(
    train: Callable[[int, Stage], Made],
    layers: Sequence[int],
    steps: int,
    progress: Progress,
    *,
    on: torch.device,
    one_by_one: bool = False,
) -> list[Made]:
    """What `train` makes of each layer, in the order of the layers.

    Args:
        train: takes a layer and the stage to tell of its steps; called in threads.
        steps: of one training.
        on: where the trainings run. On a GPU they run one after the other: they would only wait for each other.
        one_by_one: so, too, where several processes train together: each has to be at the same layer.
    """
    with progress.stage(f"training dictionaries at {len(layers)} layers", steps * len(layers)) as stage:
        shared = _Shared(stage)
        threads = torch.get_num_threads()
        with ThreadPoolExecutor(max_workers=cores() if on.type == "cpu" and not one_by_one else 1) as pool:
            made = list(pool.map(lambda layer: train(layer, shared), layers))
        torch.set_num_threads(threads)  # trainings that end together may restore each other's setting
    return made


class _Shared:
    """Several trainings that advance one stage, whose total is already known."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def advance(self, steps: float = 1) -> None:
        """Pass it on."""
        self._stage.advance(steps)

    def total(self, steps: float) -> None:
        """Known beforehand."""
