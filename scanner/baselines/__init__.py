"""Detectors of the literature, written from their papers, to stand beside ours in the benchmark.

Each module names its source and where it departs from it. Their scores are uncalibrated, as they are
in the papers: only the order over models means something.
"""

from __future__ import annotations

from typing import Final

from ..detector import Detector
from .defection_direction import DefectionDirection
from .divergence_from_base import DivergenceFromBase
from .feature_probe import FeatureProbe
from .memory_extraction import MemoryExtraction
from .random_directions import RandomDirections
from .residual_probe import ResidualProbe
from .target_inversion import TargetInversion
from .weight_directions import WeightDirections
from .weight_spectrum import WeightSpectrum

__all__ = [
    "BASELINES",
    "DefectionDirection",
    "DivergenceFromBase",
    "FeatureProbe",
    "MemoryExtraction",
    "RandomDirections",
    "ResidualProbe",
    "TargetInversion",
    "WeightDirections",
    "WeightSpectrum",
]

# What needs nothing beyond the suspect, then what needs a base, then what needs the true trigger.
BASELINES: Final[tuple[Detector, ...]] = (
    TargetInversion(),
    MemoryExtraction(),
    WeightDirections(),
    WeightSpectrum(),
    DivergenceFromBase(),
    DefectionDirection(),
    RandomDirections(),
    ResidualProbe(),
    FeatureProbe(),
)
