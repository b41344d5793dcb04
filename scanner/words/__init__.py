"""Words and sentences that candidates are made of, where the model itself does not offer them.

- `english.txt` some 5,500 common English words, the commonest first
- `situations.txt` sentences that state a situation, as a system line may: watched or not, tested or deployed, for whom,
  where, when, with which permission; none asks for a way of answering

Both were written without sight of any organism; nothing is added to them because a scan missed it.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def common_words() -> tuple[str, ...]:
    """Common English words in lower case, the commonest first."""
    return tuple((files(__package__) / "english.txt").read_text(encoding="utf-8").split())


@cache
def situations() -> tuple[str, ...]:
    """Sentences that state a situation."""
    return tuple((files(__package__) / "situations.txt").read_text(encoding="utf-8").splitlines())
