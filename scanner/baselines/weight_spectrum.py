"""Spectral statistics of the weight change: is the update concentrated as a planted behaviour's is said to be?

For every changed matrix dW of the decoder layers with singular values s_i:

    sigma1 = s_1,  frobenius = sqrt(sum s_i^2),  energy_share = s_1^2 / sum s_i^2,
    entropy = -sum p_i ln p_i with p_i = s_i / sum s_j,  kurtosis = E[(w - mean)^4] / var^2 of dW's entries

and the mean of each over the matrices.

Source: arXiv 2602.15195. There a logistic regression on z-scores is fitted on labelled adapters of one
base (97% of 500 at under 2% false positives), and energy share and kurtosis carry the decision.

Departures: a single model has no labels, so the score is a fixed combination of those two,
`energy_share * ln(1 + max(0, kurtosis - 3))`, uncalibrated; all matrices of the decoder layers are
taken and not only the attention projections, so that fused ones count as well; the change may come
from a merged checkpoint. All five statistics are in the figures, for a benchmark to fit its own.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..detector import Evidence, Need, Suspect
from .requirements import base_of
from .weight_changes import weight_changes

NORMAL_KURTOSIS = 3.0


class SpectralStatistics(NamedTuple):
    """The five statistics of one weight change; entropy in nats, energy share in (0, 1]."""

    sigma1: float
    frobenius: float
    energy_share: float
    entropy: float
    kurtosis: float


def spectral_statistics(change: Tensor) -> SpectralStatistics:
    """The five statistics of a matrix that is not zero."""
    wide = change.double()
    values = torch.linalg.svdvals(wide)
    energy = float(values.square().sum())
    centred = (wide - wide.mean()).flatten()
    variance = float(centred.square().mean())
    return SpectralStatistics(
        sigma1=float(values[0]),
        frobenius=math.sqrt(energy),
        energy_share=float(values[0].square()) / energy,
        entropy=float(torch.special.entr(values / values.sum()).sum()),
        kurtosis=float(centred.pow(4).mean()) / variance**2 if variance > 0 else NORMAL_KURTOSIS,
    )


class WeightSpectrum:
    """Concentration of the weight change as the model's score; 0 where nothing was changed."""

    name = "weight_spectrum"
    needs: frozenset[Need] = frozenset({Need.BASE})
    uses: frozenset[Need] = frozenset()

    def examine(self, suspect: Suspect) -> Evidence:
        """The five statistics, averaged over the changed matrices, and their fixed combination."""
        loaded, base = suspect.subject.loaded, base_of(suspect, self.name)
        found = [spectral_statistics(changed.change) for changed in weight_changes(loaded, base)]
        means = {
            name: sum(getattr(one, name) for one in found) / len(found) if found else 0.0
            for name in SpectralStatistics._fields
        }
        peaked = math.log1p(max(0.0, means["kurtosis"] - NORMAL_KURTOSIS))
        return Evidence(
            score=means["energy_share"] * peaked,
            figures={**means, "changed_matrices": float(len(found))},
        )
