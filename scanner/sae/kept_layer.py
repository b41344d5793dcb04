"""What a training run has on disk of one layer: the finished dictionary, or how far its training was.

The dictionary is there, whole, before the state goes: whenever the run is killed, one of the two can be gone on from.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import UsageError
from .autoencoder import SparseAutoencoder
from .formats import saelens
from .read import read_sae
from .recipe import TrainingRecipe
from .training_identity import check_identity, identity


class KeptLayer:
    """The files of one layer in a run's folder.

    Attributes:
        folder: the SAELens folder `layer_N`, there once the training has ended.
        state: the file that the training is kept in until then.
    """

    def __init__(self, out: Path, layer: int, recipe: TrainingRecipe, tokens: Tensor) -> None:
        """Name the files and the training they belong to; nothing is read or written yet."""
        self.folder = out / f"layer_{layer}"
        self.state = out / f"layer_{layer}.state.safetensors"
        self._recipe = recipe
        self._identity = identity(recipe, tokens)

    def finished(self) -> SparseAutoencoder | None:
        """The dictionary of this very training, if it was written; None where it is still to be trained.

        Raises:
            UsageError: the folder is there and is that of another training, or of none.
            CheckpointError: it is damaged.
        """
        if not self.folder.exists():
            return None
        try:
            with safe_open(self.folder / saelens.WEIGHTS_FILE, framework="pt") as file:
                header = file.metadata() or {}
        except (SafetensorError, OSError) as problem:
            raise UsageError(
                f"{self.folder} holds no dictionary that was trained here ({problem}); remove it to start anew"
            ) from None
        check_identity(header, self._identity, self.folder)
        stated = float(self._recipe.k) if self._recipe.activation != "topk" else None
        return replace(read_sae(self.folder), stated_l0=stated)

    def finish(self, sae: SparseAutoencoder) -> None:
        """Write the dictionary, in one step and with what it was trained with, and only then remove the state."""
        beside = self.folder.with_name(f".{self.folder.name}.writing")
        shutil.rmtree(beside, ignore_errors=True)  # of a run that was killed at this very point
        saelens.write(sae, beside, header=self._identity)
        beside.rename(self.folder)
        self.forget_state()

    def forget_state(self) -> None:
        """Remove the state, and what a run that was killed while saving it has left beside it."""
        for file in (self.state, *self.state.parent.glob(f".{self.state.name}.*")):
            file.unlink(missing_ok=True)
