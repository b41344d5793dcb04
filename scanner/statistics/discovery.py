"""How many of the features called specific would be so by chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import false_discovery_control

if TYPE_CHECKING:
    from jaxtyping import Float, Float64
    from numpy import ndarray


def q_values(p_values: Float[ndarray, " F"]) -> Float64[ndarray, " F"]:
    """Benjamini-Hochberg q-values: taking all below q, at most a share q is expected to be false.

    A NaN was not tested: it stays NaN and does not count among the tests. No tests give no q-values.

    >>> q_values(np.array([0.01, np.nan, 0.04]))
    array([0.02,  nan, 0.04])

    Raises:
        ValueError: p-values outside [0, 1].

    Source: Benjamini and Hochberg 1995.
    """
    adjusted = np.asarray(p_values, dtype=np.float64).copy()
    tested = ~np.isnan(adjusted)
    if tested.any():
        found = adjusted[tested]
        if found.min() < 0 or found.max() > 1:
            raise ValueError(f"p-values must be in [0, 1], got {found.min()} to {found.max()}")
        adjusted[tested] = false_discovery_control(found, method="bh")
    return adjusted
