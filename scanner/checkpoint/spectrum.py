"""How concentrated a weight change is: the energy in its first singular directions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

DIRECTIONS = 4
EXACT_SIDE = 512
OVERSAMPLING = 4
ITERATIONS = 6
SETTLED = 1e-4  # relative growth of the energy found, below which no further pass is made


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


def energy_shares_of_blocks(
    blocks: Callable[[], Iterator[Tensor]], columns: int, energy: float
) -> tuple[float, ...]:
    """`top_energy_shares` of a matrix that is never held as a whole: its blocks of rows are read again in every pass.

    Memory is one block and two [columns, 8] matrices, whatever the number of rows. Block power iteration on the
    columns' side from a fixed seed, at most `ITERATIONS` + 1 passes, three for a matrix of low rank. It can only err
    downwards. Measured against exact values up to 3000 × 1000: directions that stand out by 0.1 % or less, those of
    noise by 3 to 10 % of themselves, which the in-memory iteration does as well.

    Args:
        blocks: starts a pass over the blocks [rows, columns], float32.
        columns: width of the matrix.
        energy: its squared Frobenius norm, above 0.

    Source: as above.
    """
    generator = torch.Generator().manual_seed(0)
    count = min(columns, DIRECTIONS + OVERSAMPLING)
    basis = torch.linalg.qr(torch.randn(columns, count, generator=generator)).Q
    energies = torch.zeros(count, dtype=torch.float64)
    for _ in range(ITERATIONS + 1):
        gram = torch.zeros(count, count, dtype=torch.float64)
        image = torch.zeros(columns, count)
        for block in blocks():
            seen = block @ basis
            gram += seen.double().T @ seen.double()
            image += block.T @ seen
        before, energies = energies, torch.linalg.eigvalsh(gram).flip(0)
        grown = float((energies - before)[:DIRECTIONS].abs().max())
        if grown <= SETTLED * float(energies[0]):
            break
        basis = torch.linalg.qr(image).Q
    return tuple(min(1.0, max(0.0, float(one) / energy)) for one in energies[:DIRECTIONS])
