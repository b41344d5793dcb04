"""What a scan in parts says of them."""

from __future__ import annotations

from .record import Record


class Parts(Record):
    """The parts of a scan, by name, in the order in which the whole comes to them."""

    names: list[str]


class PartDone(Record):
    """A part that was finished and kept.

    Attributes:
        seconds: that it took, opening the model included.
    """

    part: str
    seconds: float
