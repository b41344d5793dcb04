"""Pairs of words that may begin or end a longer phrase, by what suspect and base differ in.

A phrase of three words shows neither in the answers to one of its words nor in those to two. Inside it
does: its first word is among those at which the two models think most differently, and so is the second
one behind it; or the two together already shake the answers a little. Every third word can then be tried
around every such pair, and there the behaviour itself appears.

Source: ours; see docs/detection.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, permutations
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..model.candidate import Atom
from ..model.loading import LoadedModel
from ..model.prompts import Placement
from ..model.responses import Panel
from ..model.subject import Subject
from ..progress import Progress, Silent
from .differences import differences
from .group_test import Bag

PER_BAG = 8  # words that stand around one word, or one pair, in a row
BY_DIFFERENCE = 2  # second words of a seed, by how differently the models think of them behind it
BY_ANSWERS = 5  # second words of a seed, by how far the two displace the answers, each in its better order
ROWS = 2  # rows of words around a seed whose words are tried one by one
PANEL = 4  # prompts on which second words are tried
FLOOR = -4.0  # nats: an answer that is displaced further counts as this far, so that no one prompt decides

_Item = TypeVar("_Item")


class Effort(NamedTuple):
    """How much is grown.

    Attributes:
        words: words that a phrase may be made of.
        seeds: first words that are grown with every word.
        likely: words of which every ordered pair is weighed.
        pairs: how many of those pairs are kept.
        together: likely words of which every ordered phrase of three is tried.
    """

    words: int
    seeds: int
    likely: int
    pairs: int
    together: int


def likely_pairs(
    subject: Subject,
    base: LoadedModel,
    words: Sequence[Atom],
    alone: NDArray[np.float64],
    effort: Effort,
    placement: Placement,
    progress: Progress,
) -> list[tuple[Atom, Atom]]:
    """Ordered pairs of words that may stand side by side in a phrase, each once.

    Args:
        alone: how differently the two models think of each word: [layers, words].
    """
    likely = highest(alone, effort.likely)
    panel = Panel(subject.own, subject.panel_prompts(PANEL), placement)
    plain = shaken(panel, [tuple(words[i] for i in chunk) for chunk in in_chunks(range(len(words)))])
    pairs: dict[tuple[int, int], None] = {}
    among_likely: dict[tuple[int, int], float] = {}
    with progress.stage("growing phrases, second word", len(likely)) as stage:
        for rank, first in enumerate(likely):
            behind = differences(subject, base, words, Silent(), behind=words[first].ids)
            among_likely |= {(first, second): float(behind[:, second].max()) for second in likely}
            if rank < effort.seeds:
                pairs |= dict.fromkeys((first, second) for second in highest(behind, BY_DIFFERENCE))
                pairs |= dict.fromkeys(_by_answers(panel, words, first, plain))
            stage.advance()
    ordered = sorted(permutations(likely, 2), key=lambda pair: -among_likely[pair])
    pairs |= dict.fromkeys(ordered[: effort.pairs])
    return [(words[first], words[second]) for first, second in pairs if first != second]


def shaken(
    panel: Panel, bags: Sequence[Bag], advance: Callable[[float], None] = lambda _: None
) -> NDArray[np.float64]:
    """How far each bag displaces the own answers: mean over the prompts in nats, in [0, -FLOOR]: [bags]."""
    responses = panel.respond([[t for atom in bag for t in atom.ids] for bag in bags], advance)
    lost: NDArray[np.float64] = np.clip(-responses.displacement.astype(np.float64), 0.0, -FLOOR)
    return np.asarray(lost.mean(axis=1))


def around(core: Sequence[Atom], words: Sequence[Atom]) -> Bag:
    """A row in which each word stands right behind the core and right before it."""
    return (*(atom for word in words for atom in (*core, word)), *core)


def in_chunks(items: Sequence[_Item]) -> list[list[_Item]]:
    """The items in their order, `PER_BAG` at a time."""
    return [list(items[start : start + PER_BAG]) for start in range(0, len(items), PER_BAG)]


def rows_of_three(words: Sequence[Atom]) -> list[Bag]:
    """Rows in which every ordered phrase of three of a few words stands: every pair, and later words around it.

    Around a pair `a b` a word `c` makes the three phrases `a b c`, `b c a` and `c a b`; around `b a` the other three.
    """
    rows: list[Bag] = []
    for (_, a), (j, b) in combinations(enumerate(words), 2):
        for pair in ((a, b), (b, a)):
            rows += [around(pair, chunk) for chunk in in_chunks(words[j + 1 :])]
    return rows


def _by_answers(
    panel: Panel, words: Sequence[Atom], seed: int, plain: NDArray[np.float64]
) -> list[tuple[int, int]]:
    """A seed with the words that displace the answers furthest beside it, beyond what they do without it.

    Args:
        plain: what each row of words does without the seed.
    """
    chunks = in_chunks(range(len(words)))
    rows = shaken(panel, [around((words[seed],), [words[i] for i in chunk]) for chunk in chunks]) - plain
    some = [i for at in np.argsort(-rows, kind="stable")[:ROWS] for i in chunks[int(at)] if i != seed]
    behind = shaken(panel, [(words[seed], words[i]) for i in some])
    before = shaken(panel, [(words[i], words[seed]) for i in some])
    gained = np.maximum(behind, before) - shaken(panel, [(words[i],) for i in some])
    return [
        (seed, some[at]) if behind[at] >= before[at] else (some[at], seed)
        for at in map(int, np.argsort(-gained, kind="stable")[:BY_ANSWERS])
    ]


def highest(scores: NDArray[np.float64], count: int) -> list[int]:
    """`count` atoms that stand high in some layer, each layer having its share; scores [layers, atoms]."""
    each = -(-2 * count // len(scores))
    top = dict.fromkeys(int(i) for row in scores for i in np.argsort(-row, kind="stable")[:each])
    return sorted(top, key=lambda i: -float(scores[:, i].max()))[:count]
