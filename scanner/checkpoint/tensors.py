"""Reading tensors by name over all shards, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import CheckpointError
from .safetensors_header import StoredTensor
from .wording import shown


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
        self._open: dict[Path, Any] = {}

    def read(self, name: str) -> Tensor:
        """The whole tensor, in its stored dtype, on the CPU."""
        stored, file = self._file(name)
        with _readable(name, stored):
            tensor: Tensor = file.get_tensor(name)
        return tensor

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        """Rows `start` to `stop` of the tensor's first dimension."""
        stored, file = self._file(name)
        with _readable(name, stored):
            tensor: Tensor = file.get_slice(name)[start:stop]
        return tensor

    def _file(self, name: str) -> tuple[StoredTensor, Any]:
        stored = self._tensors[name]
        if stored.path not in self._open:
            with _readable(name, stored):
                opened = safe_open(str(stored.path), framework="pt", device="cpu")
            self._open[stored.path] = self._stack.enter_context(opened)
        return stored, self._open[stored.path]


@contextmanager
def _readable(name: str, stored: StoredTensor) -> Iterator[None]:
    try:
        yield
    except (SafetensorError, OSError, ValueError) as problem:
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
