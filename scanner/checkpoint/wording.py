"""Names out of untrusted files, made fit for one line of a message."""

from __future__ import annotations

from collections.abc import Collection

LONGEST = 120


def shown(text: object) -> str:
    """The text on one line without control characters, cut to `LONGEST` characters."""
    line = str(text)
    if not line.isprintable():
        line = ascii(line)[1:-1]
    return line if len(line) <= LONGEST else line[:LONGEST] + "..."


def listed(names: Collection[str], most: int = 3) -> str:
    """The first few names, sorted, and how many more there are."""
    first = ", ".join(shown(name) for name in sorted(names)[:most])
    left = len(names) - most
    return f"{first} and {left} more" if left > 0 else first
