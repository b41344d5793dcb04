"""Reading tensors by name over all shards, one at a time.

The bytes are read where the header, which was checked when the folder was opened, says that they lie. They are not
mapped: pages of a mapped file count as the process's memory until the system wants them back, all shards of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import torch
from torch import Tensor

from ..errors import CheckpointError
from .safetensors_header import BYTES_PER_ELEMENT, StoredTensor
from .wording import shown

DTYPES: Final[dict[str, torch.dtype]] = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E8M0": torch.float8_e8m0fnu,
    "U16": torch.uint16,
    "I16": torch.int16,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "U32": torch.uint32,
    "I32": torch.int32,
    "F32": torch.float32,
    "U64": torch.uint64,
    "I64": torch.int64,
    "F64": torch.float64,
    "C64": torch.complex64,
}


class Readable(Protocol):
    """Something that tensors can be read from by name."""

    def read(self, name: str) -> Tensor:
        """The whole tensor."""

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        """Rows `start` to `stop` of its first dimension."""


class TensorReader:
    """Reads from open safetensors files; made by `open_tensors`."""

    def __init__(self, tensors: Mapping[str, StoredTensor], stack: ExitStack) -> None:
        self._tensors = tensors
        self._stack = stack
        self._open: dict[Path, BinaryIO] = {}

    def read(self, name: str) -> Tensor:
        """The whole tensor, in its stored dtype, on the CPU."""
        stored = self._tensors[name]
        return self._values(name, 0, math.prod(stored.shape)).reshape(stored.shape)

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        """Rows `start` to `stop` of the tensor's first dimension."""
        first, *rest = self._tensors[name].shape
        start, stop, _ = slice(start, stop).indices(first)
        row = math.prod(rest)
        count = max(0, stop - start)
        return self._values(name, start * row, count * row).reshape(count, *rest)

    def _values(self, name: str, start: int, count: int) -> Tensor:
        """`count` elements from element `start` on."""
        stored = self._tensors[name]
        size = BYTES_PER_ELEMENT[stored.dtype]
        held = torch.empty(count * size, dtype=torch.uint8)
        with _readable(name, stored):
            file = self._file(stored)
            file.seek(stored.start + start * size)
            got = file.readinto(held.numpy()) if count else 0  # type: ignore[attr-defined]
            if got != len(held):
                raise ValueError(f"{len(held)} bytes were to be read, {got} are there")
        return held.view(DTYPES[stored.dtype])

    def _file(self, stored: StoredTensor) -> BinaryIO:
        if stored.path not in self._open:
            self._open[stored.path] = self._stack.enter_context(stored.path.open("rb"))
        return self._open[stored.path]


@contextmanager
def _readable(name: str, stored: StoredTensor) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as problem:
        raise CheckpointError(
            f"tensor {shown(name)} of {shown(stored.file)} cannot be read ({shown(problem)}); download the file again"
        ) from None


@contextmanager
def open_tensors(tensors: Mapping[str, StoredTensor]) -> Iterator[TensorReader]:
    """A reader over the files that hold `tensors`; the files close with the block."""
    with ExitStack() as stack:
        yield TensorReader(tensors, stack)


def iterate_tensors(tensors: Mapping[str, StoredTensor]) -> Iterator[tuple[str, Tensor]]:
    """Every (name, tensor) in turn; only one is in memory at a time unless the caller keeps it."""
    with open_tensors(tensors) as reader:
        for name in tensors:
            yield name, reader.read(name)
