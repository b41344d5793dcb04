"""How differently suspect and base think of strings: the residual streams at their last token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..model.activations import states_behind
from ..model.candidate import Atom
from ..model.loading import LoadedModel
from ..model.prompts import slot
from ..model.subject import Subject
from ..progress import Progress

AT_ONCE = 2_048  # atoms whose states are held at a time


def differences(
    subject: Subject, base: LoadedModel, atoms: Sequence[Atom], progress: Progress, behind: Sequence[int] = ()
) -> NDArray[np.float64]:
    """Robust z-score per layer and atom of ‖suspect − base‖ / ‖base‖ at the atom's last token: [layers, atoms].

    Args:
        behind: tokens that stand right before each atom. The median and the spread are those of the atoms
            behind the same tokens, so a score tells what an atom adds to them.
    """
    loaded = subject.loaded
    placement = subject.prompts.words_place
    prefix = slot(loaded, subject.search[0], placement).prefix
    layers = list(range(loaded.layer_count))
    relative = np.zeros((len(layers), len(atoms)))
    shared = [*prefix, *behind]
    with progress.stage("comparing with the base, word by word", len(atoms)) as stage:
        for start in range(0, len(atoms), AT_ONCE):
            tails = [atom.ids for atom in atoms[start : start + AT_ONCE]]
            here, there = (states_behind(model, shared, tails, layers) for model in (loaded, base))
            for i, layer in enumerate(layers):
                change = (here[layer] - there[layer]).norm(dim=1) / there[layer].norm(dim=1)
                relative[i, start : start + len(tails)] = change.numpy()
            stage.advance(len(tails))
    middle = np.median(relative, axis=1, keepdims=True)
    spread = np.median(np.abs(relative - middle), axis=1, keepdims=True) * 1.4826
    return (relative - middle) / np.maximum(spread, 1e-9)
