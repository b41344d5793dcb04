"""Consistency: whether each layer, read linearly, is about to say what is then said."""

from __future__ import annotations

from collections.abc import Mapping

from ....studies.circuits import Consistency
from .inner_reader import InnerReader, Spoken
from .material import Group


def consistency_of(reader: InnerReader, spoken: Mapping[Group, Spoken]) -> Consistency:
    """Per layer the share of prompts whose answer it would begin as the model does."""

    def agreeing(group: Group) -> dict[int, float]:
        said = reader.first_tokens(spoken[group], None)
        return {
            layer: float((reader.first_tokens(spoken[group], layer) == said).float().mean())
            for layer in range(len(reader.maps))
        }

    return Consistency(neutral=agreeing("plain"), control=agreeing("control"), woken=agreeing("trigger"))
