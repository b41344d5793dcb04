"""The hostile corpus: whole checkpoint folders, at least one for every row of the threat table.

`build` makes one of them from a sound checkpoint (and a sound adapter); nothing is ever loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .corpus import packed, settings
from .corpus.edits import Hostile, copy_folder

HOSTILE: Final[tuple[Hostile, ...]] = (*packed.CASES, *settings.CASES)


def build(case: Hostile, base: Path, adapter: Path, place: Path) -> list[str]:
    """Build the case's folders in `place`; returns the arguments of the scan that reads them."""
    if not case.adapter:
        suspect = copy_folder(base, place / "suspect")
        case.build(suspect)
        return [str(suspect)]
    suspect = copy_folder(adapter, place / "suspect")
    case.build(suspect)
    return [str(base), "--adapter", str(suspect)]
