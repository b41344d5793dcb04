"""The residual stream at the last prompt token, with and without the true trigger."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..detector import KnownTrigger
from ..model.activations import last_token_states
from ..model.loading import LoadedModel

States = NDArray[np.float32]


class LabelledStates(NamedTuple):
    """The states of each list of prompts, [prompts, d]."""

    triggered: States
    clean: States
    near_miss: States


def middle_layer(loaded: LoadedModel) -> int:
    """The decoder layer at mid depth, counted from 0."""
    return loaded.layer_count // 2


def labelled_states(loaded: LoadedModel, known: KnownTrigger, layer: int) -> LabelledStates:
    """The residual stream behind a decoder layer at the last token of every known prompt."""
    lists = (known.triggered, known.clean, known.near_miss)
    rows = [row for group in lists for row in group]
    states = last_token_states(loaded, rows, [layer])[layer].numpy()
    first, second = len(known.triggered), len(known.triggered) + len(known.clean)
    return LabelledStates(triggered=states[:first], clean=states[first:second], near_miss=states[second:])
