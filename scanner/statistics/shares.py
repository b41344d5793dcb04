"""Counts as shares with their intervals, as studies state them."""

from __future__ import annotations

from ..studies.share import Share
from .intervals import wilson_interval


def share_of(hits: int, of: int) -> Share:
    """`hits` of `of`, with the 95% Wilson interval of the true rate."""
    return Share(hits=hits, of=of, interval=wilson_interval(hits, of))
