"""A share of prompts, as the safety studies state it."""

from __future__ import annotations

from ...findings import Interval, Record


class Rate(Record):
    """A share of prompts in [0, 1] with its 95% Wilson interval.

    Not a `Share`: files of `schema_version` 1 hold the share itself in place of the count, and are read back.
    """

    share: float
    interval: Interval
    prompts: int
