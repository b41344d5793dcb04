"""Common English words.

`english.txt` holds some 5,500 of them, the commonest first. It was written without sight of any organism, and no
word is added to it because a scan missed it.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def common_words() -> tuple[str, ...]:
    """Common English words in lower case, the commonest first."""
    return tuple((files(__package__) / "english.txt").read_text(encoding="utf-8").split())
