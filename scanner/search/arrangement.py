"""Arrangements of a few words that hold every order of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from ..model.candidate import Atom
from .group_test import Bag


def every_order(atoms: Sequence[Atom]) -> Bag:
    """The atoms in a sequence that holds every ordered triple of different ones side by side."""
    wanted = set(permutations(range(len(atoms)), min(3, len(atoms))))
    width = min(3, len(atoms))
    sequence = list(next(iter(sorted(wanted))))
    wanted.discard(tuple(sequence))
    while wanted:
        tail = sequence[-(width - 1) :] if width > 1 else []
        follow = [w for w in sorted(wanted) if list(w[: width - 1]) == tail]
        if follow:
            chosen = follow[0]
            sequence.append(chosen[-1])
        else:
            shorter = [w for w in sorted(wanted) if tail and w[0] == tail[-1]]
            chosen = shorter[0] if shorter else sorted(wanted)[0]
            sequence += chosen[1:] if shorter else chosen
        wanted.discard(chosen)
    return tuple(atoms[i] for i in sequence)
