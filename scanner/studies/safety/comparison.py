"""Which catalogued safety features another checkpoint kept, weakened or lost."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from ...findings import NotTested, Record
from .features import SafetyFeature


class Fate(StrEnum):
    """What became of a safety feature in another checkpoint."""

    KEPT = "kept"
    WEAKENED = "weakened"
    LOST = "lost"


class FeatureChange(Record):
    """One catalogued feature in both checkpoints, read with the same dictionary on the same prompts."""

    before: SafetyFeature
    effect_size_after: float
    auroc_after: float
    q_value_after: float
    mean_positive_after: float
    fate: Fate


class ConceptChange(Record):
    """One concept in both checkpoints.

    Attributes:
        behaviour_before, behaviour_after: in the untouched models.
        carried_before, carried_after: change of the behaviour with the catalogued features switched off, and the
            largest change of a random draw.
        alarm: what a reader should know, "" if nothing.
    """

    concept: str
    behaviour: str
    behaviour_before: float
    behaviour_after: float
    carried_before: tuple[float, float]
    carried_after: tuple[float, float]
    features: list[FeatureChange]
    alarm: str


class CatalogueComparison(Record):
    """Which safety features a fine-tune kept, weakened or lost."""

    schema_version: Literal[1] = 1
    before: str
    after: str
    concepts: list[ConceptChange]
    not_tested: list[NotTested]
    seconds: float
