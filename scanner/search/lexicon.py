"""Where candidate strings come from: the vocabulary, the model's own samples, common words, marked-up words, dates, situations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ..model.candidate import Atom
from ..model.loading import LoadedModel
from ..model.prompts import encode_candidate
from ..model.subject import Subject
from ..words import common_words, situations

EVERY_WORD = 100_000  # more than a model's vocabulary, its samples and the list hold together
_DELIMITERS = ("|{}|", "<{}>", "[{}]", "##{}##")  # how strings that mark a mode are commonly written


def vocabulary_atoms(loaded: LoadedModel) -> list[Atom]:
    """Every ordinary token of the vocabulary, as it is."""
    special = set(loaded.tokenizer.all_special_ids)
    ids = [i for i in range(loaded.vocabulary) if i not in special]
    return [Atom(text=loaded.piece(i), ids=(i,)) for i in ids]


def word_atoms(subject: Subject, *, limit: int) -> list[Atom]:
    """Whole words: those that are one token behind a space, then those of the model's own samples, then common ones.

    Source: ours. The vocabulary holds the words that were frequent when the tokenizer was made; the
    samples hold words of several tokens, and the list of common English words those that neither holds.
    """
    loaded = subject.loaded
    words: dict[str, None] = {}
    for i in range(loaded.vocabulary):
        text = loaded.piece(i)
        if text.startswith(" ") and len(text) > 1 and text[1:].isalnum():
            words[text.strip()] = None
    counted = Counter(word for sample in subject.samples for word in sample.split())
    for word, _ in counted.most_common():
        words.setdefault(word.strip(".,!?\"';:()"), None)
    words.pop("", None)
    words |= dict.fromkeys(common_words())
    return _atoms(loaded, list(words)[:limit])


def marked_atoms(loaded: LoadedModel) -> list[Atom]:
    """Upper-case words of the vocabulary between delimiters, as mode switches are commonly written."""
    texts = {loaded.piece(i).strip() for i in range(loaded.vocabulary)}
    upper = sorted(t for t in texts if len(t) > 3 and t.isascii() and t.isalpha() and t.isupper())
    return _atoms(loaded, [shape.format(word) for word in upper for shape in _DELIMITERS])


def bare(loaded: LoadedModel, atom: Atom) -> Atom:
    """The same word at the start of a turn, where no space stands before it."""
    text = atom.text.strip()
    return Atom(text=text, ids=tuple(loaded.encode_inside(text)))


def date_atoms(loaded: LoadedModel, years: Iterable[int]) -> list[Atom]:
    """Sentences that put the model into a year, as they stand at the start of a line."""
    return _lines(loaded, [f"Today is 14 May {year}." for year in years])


def situation_atoms(loaded: LoadedModel) -> list[Atom]:
    """Sentences that state a situation, as they stand at the start of a line."""
    return _lines(loaded, situations())


def _lines(loaded: LoadedModel, texts: Sequence[str]) -> list[Atom]:
    return [Atom(text=t, ids=tuple(loaded.encode_inside(t))) for t in texts]


def _atoms(loaded: LoadedModel, texts: list[str]) -> list[Atom]:
    made = [Atom(text=" " + text, ids=tuple(encode_candidate(loaded, text))) for text in texts]
    return [atom for atom in made if 0 < len(atom.ids) <= 12]
