"""Public catalogues of attacks that findings refer to, taken apart into catalogue and entry."""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class Entry(NamedTuple):
    """One entry of a catalogue, e.g. `AML.T0018` of MITRE ATLAS."""

    catalogue: str
    id: str


_PATTERNS: Final = (
    ("MITRE ATLAS", re.compile(r"\bAML\.T\d{4}(?:\.\d{3})?(?!\d)")),
    ("OWASP Top 10 for LLM Applications", re.compile(r"\bLLM\d{2}:\d{4}(?!\d)")),
    ("NIST AI 100-2", re.compile(r"\bNISTAML\.\d{2,3}(?!\d)")),
)


def entry_of(tag: str) -> Entry | None:
    """The entry that a finding's tag names; None for a tag of no known catalogue.

    >>> entry_of("MITRE ATLAS AML.T0043.004")
    Entry(catalogue='MITRE ATLAS', id='AML.T0043.004')
    >>> entry_of("something else") is None
    True
    """
    for catalogue, pattern in _PATTERNS:
        if match := pattern.search(tag):
            return Entry(catalogue, match.group())
    return None
