"""Tensors in a file of whatever container: safetensors, NumPy's npz, or what `torch.save` writes.

The container is told by its first bytes. Nothing in a file runs: pickles are read by PyTorch's
weights-only unpickler, here and nowhere else, and npz arrays without pickled objects. A small file
cannot ask for much memory: what it unpacks to is compared with its size first.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from ...errors import CheckpointError

# How many times larger than the file its tensors may be: views that share memory make it more than 1.
LARGEST_EXPANSION = 8
SMALLEST_BOUND = 1 << 20  # bytes that any file may unpack to


@dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """What one file holds.

    Attributes:
        path: the file.
        tensors: by name.
        others: entries of a pickle that are no tensors, e.g. the name of an activation.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    others: Mapping[str, object] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def take(self, name: str, *shape: int) -> Tensor:
        """The tensor in float32, finite and of this shape.

        Raises:
            CheckpointError: it is missing, of another shape, not floating point or not finite.
        """
        tensor = self._named(name)
        if tuple(tensor.shape) != shape:
            raise CheckpointError(
                f"{name} must have the shape {list(shape)}, got {list(tensor.shape)}: {self.path}"
            )
        if not tensor.is_floating_point():
            raise CheckpointError(f"{name} must be floating point, got {tensor.dtype}: {self.path}")
        # A copy: the file may be mapped into memory, and may change once it was read.
        tensor = tensor.detach().to(torch.float32, copy=True).contiguous()
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{name} must be finite, got NaN or infinity: {self.path}")
        return tensor

    def matrix_shape(self, name: str) -> tuple[int, int]:
        """Rows and columns of a matrix.

        Raises:
            CheckpointError: it is missing or no matrix.
        """
        shape = tuple(self._named(name).shape)
        if len(shape) != 2 or 0 in shape:
            raise CheckpointError(f"{name} must be a matrix, got shape {list(shape)}: {self.path}")
        return shape[0], shape[1]

    def number(self, name: str) -> float | None:
        """The value of a tensor with one element; None where there is no such tensor."""
        if name not in self.tensors:
            return None
        tensor = self.tensors[name]
        if tensor.numel() != 1 or tensor.is_complex() or not math.isfinite(float(tensor)):
            raise CheckpointError(
                f"{name} must be one finite number, got shape {list(tensor.shape)}: {self.path}"
            )
        return float(tensor)

    def _named(self, name: str) -> Tensor:
        if name not in self.tensors:
            have = ", ".join(list(self.tensors)[:12]) or "none"
            raise CheckpointError(f"an SAE must have the tensor {name}, got only {have}: {self.path}")
        return self.tensors[name]


def open_weights(path: Path) -> WeightsFile:
    """Everything in the file.

    Raises:
        CheckpointError: it is cut short, damaged, of an unknown container, or a pickle that holds
            more than tensors and plain values.
    """
    kind = "unknown"
    try:
        kind = _container(path)
        read = {"safetensors": _safetensors, "npz": _npz, "torch": _torch}.get(kind)
        if read is not None:
            return read(path)
    except CheckpointError:
        raise
    # Damaged containers make their readers fail in every way there is; none of them ends a scan.
    except Exception as problem:
        reason = (str(problem).splitlines() or [type(problem).__name__])[0]
        what = {"safetensors": "safetensors file", "npz": "npz file"}.get(
            kind, "PyTorch file of tensors alone"
        )
        raise CheckpointError(f"SAE weights must be a whole {what}, got {path}: {reason}") from problem
    raise CheckpointError(
        f"SAE weights must be a whole safetensors file, npz file or PyTorch file, got {path}; fetch it again"
    )


def tensor_names(path: Path) -> frozenset[str]:
    """The names of the tensors in the file, none where it cannot be read."""
    try:
        state = path.stat()
        return _tensor_names(path, state.st_mtime_ns, state.st_size)
    except OSError:
        return frozenset()


@lru_cache(maxsize=32)
def _tensor_names(path: Path, _changed: int, _size: int) -> frozenset[str]:
    try:
        kind = _container(path)
        if kind == "safetensors":
            with safe_open(path, framework="pt") as file:
                return frozenset(file.keys())
        if kind == "npz":
            with zipfile.ZipFile(path) as archive:
                return frozenset(name.removesuffix(".npy") for name in archive.namelist())
        return frozenset(open_weights(path).tensors) if kind == "torch" else frozenset()
    except Exception:  # whatever is wrong with the file is said when it is read
        return frozenset()


def only_file(path: Path, *patterns: str) -> Path | None:
    """The file itself, or the one file in the folder that a pattern fits; None for none or several."""
    if path.is_file():
        return path if any(path.match(pattern) for pattern in patterns) else None
    found = {file for pattern in patterns for file in path.glob(pattern) if file.is_file()}
    return found.pop() if len(found) == 1 else None


def _container(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(9)
    if head.startswith(b"PK"):
        with zipfile.ZipFile(path) as archive:
            return "npz" if all(name.endswith(".npy") for name in archive.namelist()) else "torch"
    if head[8:] == b"{":
        return "safetensors"
    return "torch" if head.startswith(b"\x80") else "unknown"


def _safetensors(path: Path) -> WeightsFile:
    with safe_open(path, framework="pt") as file:
        return WeightsFile(path=path, tensors={name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118


def _npz(path: Path) -> WeightsFile:
    with zipfile.ZipFile(path) as archive:
        _check_expansion(path, sum(entry.file_size for entry in archive.infolist()))
    with np.load(path, allow_pickle=False) as arrays:
        return WeightsFile(path=path, tensors={name: torch.from_numpy(arrays[name]) for name in arrays.files})


def _torch(path: Path) -> WeightsFile:
    mapped = zipfile.is_zipfile(path)
    if mapped:
        with zipfile.ZipFile(path) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise CheckpointError(f"a PyTorch file must not be compressed, got {path}; save it again")
    # The one place where a pickle is opened. Only tensors and plain values are made of it.
    found = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    if not isinstance(found, Mapping):
        raise CheckpointError(f"SAE weights must be a dict of tensors, got {type(found).__name__}: {path}")
    named = {str(name).removeprefix("_orig_mod."): value for name, value in found.items()}
    tensors = {name: value for name, value in named.items() if isinstance(value, Tensor)}
    for name, tensor in tensors.items():
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            raise CheckpointError(f"{name} must be a plain dense tensor: {path}")
    _check_expansion(path, sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()))
    others = {name: value for name, value in named.items() if name not in tensors}
    return WeightsFile(path=path, tensors=tensors, others=others)


def _check_expansion(path: Path, unpacked: int) -> None:
    size = path.stat().st_size
    if unpacked > max(SMALLEST_BOUND, LARGEST_EXPANSION * size):
        raise CheckpointError(
            f"SAE weights may unpack to at most {LARGEST_EXPANSION} times the size of their file, "
            f"got {unpacked:,} bytes out of {size:,}: {path}"
        )
