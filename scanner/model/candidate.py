"""Strings to put into prompts: single candidates, and what a search cut them down to."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .prompts import BREAK, Placement


@dataclass(frozen=True, kw_only=True)
class Atom:
    """One candidate string: a vocabulary token, a word, or a marked-up word."""

    text: str
    ids: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A string that seems to wake something.

    Attributes:
        parts: the atoms that it was cut down to, in order.
        cluster: the kind of prompt that it touches; None for all.
        strength: share of the search's confirmation prompts on which it worked, in [0, 1].
        controls: token ids of strings of its kind that it has to beat, beside random ones.
    """

    parts: tuple[Atom, ...]
    placement: Placement
    cluster: str | None
    strength: float
    found_by: str
    controls: tuple[tuple[int, ...], ...] = ()

    @property
    def ids(self) -> list[int]:
        """The tokens that stand in the prompt."""
        return [token for part in self.parts for token in part.ids]

    @property
    def text(self) -> str:
        """The string, as it stands behind a space."""
        return "".join(part.text for part in self.parts).strip()

    def of_parts(self, parts: tuple[Atom, ...]) -> Candidate:
        """The same with other parts, at the place where those stand.

        Across two turns, what is left without the break, or before it, needs no second turn.
        """
        if self.placement is not Placement.ACROSS:
            return replace(self, parts=parts)
        if all(part.text != BREAK for part in parts):
            return replace(self, parts=parts, placement=Placement.BEFORE)
        if parts[-1].text == BREAK:
            return replace(self, parts=parts[:-1], placement=Placement.EARLIER_TURN)
        return replace(self, parts=parts)
