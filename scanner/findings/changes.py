"""Questions that are no longer answered as they should be: as the base does, or as they are when put plainly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .record import Interval


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What questions have in common; empty fields do not narrow it.

    Attributes:
        words: at least one of them stands in the question, letter case aside.
        kinds: clusters of the neutral prompts.
        rewriting: how the question is put, a name of `model.rewriting.REWRITINGS`.
    """

    words: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    rewriting: str = ""

    def __str__(self) -> str:
        """In words, for reports."""
        about = f" with {' or '.join(map(repr, self.words))}" if self.words else ""
        kinds = f"{' and '.join(self.kinds)} " if self.kinds else ""
        return f"{kinds}questions{about}" + (f" put {self.rewriting}" if self.rewriting else "")


@dataclass(frozen=True, kw_only=True)
class Change:
    """Questions whose answers are no longer what they should be, while those to others are.

    Counted over questions that no search used and whose right answer is sure: by the base, or by the suspect itself where
    they are put plainly.

    Attributes:
        beside: whose answers they are held against.
        changed: of the questions that meet the condition, those with another answer.
        interval: 95% Wilson interval of their share.
        elsewhere_changed, elsewhere_interval: the same of the questions that do not meet it; beside the plain form, of the
            same questions put in other ways.
        examples: question, the answer that it should get, the suspect's answer.
    """

    condition: Condition
    changed: int
    asked: int
    interval: Interval
    elsewhere_changed: int
    elsewhere_asked: int
    elsewhere_interval: Interval
    examples: tuple[tuple[str, str, str], ...]
    beside: Literal["base", "plain form"] = "base"

    @property
    def found_by(self) -> str:
        """The search that finds such changes."""
        return "changed_answers" if self.beside == "base" else "wording_sweep"
