"""A share of prompts, as the safety studies state it."""

from __future__ import annotations

from ...findings import Interval, Record


class Rate(Record):
    """A share of prompts in [0, 1] with its 95% Wilson interval."""

    share: float
    interval: Interval
    prompts: int
