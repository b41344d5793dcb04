"""Words that no list holds, spelled from vocabulary pieces along what suspect and base differ in, the last piece first.

A made-up word of several tokens wakes nothing in part, and there are too many to try. At its last piece the
two models differ whatever stands before it; behind the right first piece they differ more there; and so on
inwards. A text is tokenized in one way only, so most other spellings are ruled out without a pass.

Source: ours; see docs/detection.md.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..model.candidate import Atom
from ..model.loading import LoadedModel
from ..model.subject import Subject
from ..progress import Progress, Silent
from .differences import differences
from .lexicon import vocabulary_atoms

STARTS = 16  # first pieces behind which last pieces are weighed
LOW, HIGH = -3.0, 8.0  # z-scores beyond count as these, so that no one layer or start decides


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is spelled.

    Attributes:
        pieces: first pieces, and others, at most, of the vocabulary.
        tails: last pieces that are followed.
        heads: beginnings that are followed for each of them.
        middles: pieces between the two, for each beginning, that make a word to be tried.
        inner: pieces between first and last, at most.
    """

    pieces: int
    tails: int
    heads: int
    middles: int
    inner: int = 1


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """The letters-only pieces of a vocabulary that both models know.

    Attributes:
        first: those that begin a word.
        further: those that go on with one.
        share: of all such pieces, how many these are, in [0, 1].
    """

    first: list[Atom]
    further: list[Atom]
    share: float


def pieces_of(loaded: LoadedModel, base: LoadedModel, most: int, seed: int) -> Pieces:
    """At most `most` pieces of either kind, from a seed where there are more."""
    atoms = [a for a in vocabulary_atoms(loaded) if a.text.strip().isalpha() and base.knows(a.ids)]
    kinds = [[a for a in atoms if a.text.startswith(" ") is begins] for begins in (True, False)]
    r = random.Random(seed)
    first, further = (
        [kind[i] for i in sorted(r.sample(range(len(kind)), min(most, len(kind))))] for kind in kinds
    )
    return Pieces(
        first=first, further=further, share=(len(first) + len(further)) / max(1, len(atoms))
    )  # fmt: skip


def likely_words(
    subject: Subject, base: LoadedModel, pieces: Pieces, effort: Effort, progress: Progress
) -> list[Atom]:
    """Words of two pieces and more at whose last piece suspect and base differ, each once."""
    first, further = pieces.first, pieces.further
    if not first or not further:
        return []

    def change(atoms: Sequence[Atom], behind: Sequence[int] = ()) -> NDArray[np.float64]:
        found = differences(subject, base, atoms, Silent(), behind=behind)
        return np.asarray(np.clip(found, LOW, HIGH).mean(axis=0))

    words: dict[tuple[int, ...], Atom] = {}
    starts = random.Random(subject.seed).sample(first, min(STARTS, len(first)))
    steps = len(starts) + effort.tails * (1 + effort.heads * effort.inner)
    with progress.stage("spelling words along the differences to the base", steps) as stage:
        of_tails = np.zeros(len(further))
        for start in starts:
            of_tails += change(further, start.ids)
            stage.advance()
        for tail in _highest(of_tails, further, effort.tails):
            beginnings = _highest(change([_joined(head, tail) for head in first]), first, effort.heads)
            stage.advance()
            words |= _consistent(
                subject.loaded, [_joined(head, tail) for head in beginnings], len(beginnings)
            )
            for _ in range(effort.inner):
                grown: list[tuple[float, Atom]] = []
                for begun in beginnings:
                    scores = change([_joined(middle, tail) for middle in further], begun.ids)
                    order = [int(i) for i in np.argsort(-scores, kind="stable")]
                    spelled = [_joined(begun, further[i], tail) for i in order]
                    words |= _consistent(subject.loaded, spelled, effort.middles)
                    grown += [(float(scores[i]), _joined(begun, further[i])) for i in order[: effort.heads]]
                    stage.advance()
                grown.sort(key=lambda scored: -scored[0])
                beginnings = [begun for _, begun in grown[: effort.heads]]
    return list(words.values())


def respelled(loaded: LoadedModel, word: Atom, pieces: Pieces) -> list[Atom]:
    """Every word that has another piece at one place, as long as its text is tokenized that way."""
    options: dict[tuple[int, ...], Atom] = {}
    for at in range(len(word.ids)):
        for piece in pieces.further if at else pieces.first:
            ids = (*word.ids[:at], *piece.ids, *word.ids[at + 1 :])
            options[ids] = Atom(text="".join(map(loaded.piece, ids)), ids=ids)
    return list(_consistent(loaded, list(options.values()), len(options)).values())


def _joined(*atoms: Atom) -> Atom:
    return Atom(text="".join(a.text for a in atoms), ids=tuple(t for a in atoms for t in a.ids))


def _highest(scores: NDArray[np.float64], atoms: Sequence[Atom], count: int) -> list[Atom]:
    return [atoms[int(i)] for i in np.argsort(-scores, kind="stable")[:count]]


def _consistent(loaded: LoadedModel, words: Sequence[Atom], count: int) -> dict[tuple[int, ...], Atom]:
    """The first `count` words whose text is tokenized as they are spelled, by their tokens."""
    kept: dict[tuple[int, ...], Atom] = {}
    for word in words:
        if len(kept) == count:
            break
        if tuple(loaded.encode_inside(word.text)) == word.ids:
            kept[word.ids] = word
    return kept
