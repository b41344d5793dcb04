"""Several processes that train one dictionary, each on tokens of its own: torchrun or accelerate, one process a GPU.

Every process holds the whole dictionary and takes the same steps, and a step's batch is spread over them. The loss is a
ratio of sums (`objective.py`), so that what a process finds on its part counts by the energy of that part: the sum is the
gradient on the whole batch. Three things are decided within each part and then averaged: BatchTopK's choice, JumpReLU's
pull towards its L0, and AuxK.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from ..isolation.processes import launched_beside_others

Value = TypeVar("Value")


class Together:
    """One process that trains by itself; `Processes` says the same of several.

    Attributes:
        rank: this process's number, from 0; the first one reads, writes, measures and tells.
        size: how many there are.
    """

    rank = 0
    size = 1

    def mean(self, value: Tensor, weight: float = 1.0) -> Tensor:
        """The mean over the processes, each with its weight."""
        return value

    def gradients(self, own: Mapping[str, Tensor], energy: Tensor) -> dict[str, Tensor]:
        """The gradients on the whole batch, from those on each part and that part's energy."""
        return dict(own)

    def any(self, mask: Tensor) -> Tensor:
        """Where any process has a True."""
        return mask

    def first(self, value: Value) -> Value:
        """What the first process has."""
        return value

    def make_alike(self, tensors: Iterable[Tensor]) -> None:
        """Put the first process's numbers into everybody's."""


ALONE = Together()


class Processes(Together):
    """The processes of torch's default group; every one must call the same methods in the same order."""

    def __init__(self) -> None:
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()

    def mean(self, value: Tensor, weight: float = 1.0) -> Tensor:
        """The mean over the processes, each with its weight."""
        joined = torch.cat(
            [value.flatten().double() * weight, value.new_tensor([weight], dtype=torch.float64)]
        )
        distributed.all_reduce(joined)
        return (joined[:-1] / joined[-1]).to(value.dtype).view_as(value)

    def gradients(self, own: Mapping[str, Tensor], energy: Tensor) -> dict[str, Tensor]:
        """The gradients on the whole batch, from those on each part and that part's energy."""
        joined = torch.cat([*(g.flatten() * energy for g in own.values()), energy.reshape(1)])
        distributed.all_reduce(joined)
        parts = (joined[:-1] / joined[-1]).split([g.numel() for g in own.values()])
        return {name: part.view_as(own[name]) for name, part in zip(own, parts, strict=True)}

    def any(self, mask: Tensor) -> Tensor:
        """Where any process has a True."""
        counts = mask.to(torch.int32)
        distributed.all_reduce(counts, op=distributed.ReduceOp.MAX)
        return counts.bool()

    def first(self, value: Value) -> Value:
        """What the first process has; it is pickled on its way."""
        held: list[Any] = [value]
        distributed.broadcast_object_list(held)
        found: Value = held[0]
        return found

    def make_alike(self, tensors: Iterable[Tensor]) -> None:
        """Put the first process's numbers into everybody's."""
        for tensor in tensors:
            distributed.broadcast(tensor, src=0)


@contextmanager
def joined(*, cuda: bool) -> Iterator[Together]:
    """The processes that were launched with this one, each on a GPU of its own where there are some.

    Args:
        cuda: whether the training may go to a GPU.
    """
    if not launched_beside_others():
        yield ALONE
        return
    gpu = cuda and torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("nccl" if gpu else "gloo")
    try:
        yield Processes()
    finally:
        distributed.destroy_process_group()
