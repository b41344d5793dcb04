"""What kind of sparse autoencoder to train, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, get_args

TrainedActivation = Literal["topk", "batchtopk", "jumprelu"]
TRAINED: Final = get_args(TrainedActivation)


@dataclass(frozen=True, kw_only=True)
class TrainingRecipe:
    """What kind of SAE to train, and for how long.

    Attributes:
        features: F, the size of the dictionary.
        k: features that may fire on one token; for `batchtopk` on average over a batch, for `jumprelu`
            the L0 that its thresholds are trained towards.
        activation: `topk`, `batchtopk` or `jumprelu`. The last two come out as JumpReLU.
        widths: Matryoshka: the first features of each of these numbers must reconstruct by themselves,
            rising; all F follow as the last. Empty for a plain dictionary.
        steps: optimiser steps.
        batch: tokens a step.
        learning_rate: Adam's peak step size, for activations of mean norm 1.
        warm_up: share of the steps in which the step size rises, in [0, 1).
        decay: share of the steps, at the end, in which it falls linearly to 0, in [0, 1].
        dead_after: steps of silence after which a feature counts as dead.
        auxiliary_weight: weight of AuxK beside the main loss; 0 leaves the dead alone.
        seed: of the initial directions and of the order of the tokens.
    """

    features: int = 1024
    k: int = 16
    activation: TrainedActivation = "topk"
    widths: tuple[int, ...] = ()
    steps: int = 600
    batch: int = 512
    learning_rate: float = 6e-3
    warm_up: float = 0.05
    decay: float = 0.5
    dead_after: int = 30
    auxiliary_weight: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        if self.activation not in TRAINED:
            raise ValueError(f"activation must be one of {', '.join(TRAINED)}, got {self.activation!r}")
        if not 1 <= self.k <= self.features:
            raise ValueError(f"k must be from 1 to features = {self.features}, got {self.k}")
        if self.steps < 1 or self.batch < 1 or self.dead_after < 1:
            raise ValueError(
                f"steps, batch and dead_after must be at least 1, got {self.steps}, {self.batch}, {self.dead_after}"
            )
        if not (0 <= self.warm_up < 1 and 0 <= self.decay <= 1):
            raise ValueError(
                f"warm_up and decay are shares of the steps, got {self.warm_up} and {self.decay}"
            )
        levels = (0, *self.widths, self.features)
        if any(low >= high for low, high in pairwise(levels)):
            raise ValueError(
                f"widths must rise from 1 to less than features = {self.features}, got {list(self.widths)}"
            )
