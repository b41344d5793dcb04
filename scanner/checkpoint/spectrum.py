"""How concentrated a weight change is: the energy in its first singular directions."""

from __future__ import annotations

import torch
from torch import Tensor

DIRECTIONS = 4
EXACT_SIDE = 512
OVERSAMPLING = 4
ITERATIONS = 6


def top_energy_shares(matrix: Tensor) -> tuple[float, ...]:
    """Share of the squared Frobenius norm in each of the first `DIRECTIONS` singular directions.

    Each in [0, 1], falling; their sum is at most 1. A low-rank update has nearly all its energy
    there, an unrelated or fully fine-tuned matrix little. Empty for a zero matrix.

    Exact up to a smaller side of `EXACT_SIDE`; above, block power iteration from a fixed seed, which
    can only err downwards.

    Source: Halko, Martinsson, Tropp 2011, "Finding structure with randomness", algorithm 4.4.
    """
    total = float(matrix.double().square().sum()) if matrix.numel() < 2**22 else float(matrix.norm()) ** 2
    if total == 0.0:
        return ()
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    side = wide.shape[0]
    if side <= EXACT_SIDE:
        exact = wide.double()
        energies = torch.linalg.eigvalsh(exact @ exact.T).flip(0)[:DIRECTIONS]
    else:
        generator = torch.Generator().manual_seed(0)
        start = torch.randn(side, DIRECTIONS + OVERSAMPLING, generator=generator)
        basis = torch.linalg.qr(start).Q
        for _ in range(ITERATIONS):
            basis = torch.linalg.qr(wide @ (wide.T @ basis)).Q
        energies = torch.linalg.svdvals(basis.T @ wide)[:DIRECTIONS].double().square()
    return tuple(min(1.0, max(0.0, float(energy) / total)) for energy in energies)
