"""From bags to candidates whose answers are no fixed ones: what displaces the model's own, of one kind of prompt or of all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..model.candidate import Atom, Candidate
from ..model.own_answers import WHOLE
from ..model.prompts import NeutralPrompt, Placement
from ..model.responses import Panel
from ..model.subject import Subject
from .group_test import DISPLACED, Bag, shortest

KIND_LOOKED_AT = 0.5  # share of the few prompts of one kind in the panel at which a bag is looked at again
PIECE = 3  # parts of the pieces that a bag is broken into where one kind's answers yield to it
PIECES_ON = 3  # prompts of the kind on which the pieces are screened
PIECE_DISPLACED = 0.6  # share of those whose own answers must no longer hold
KIND_DISPLACED = 0.75  # share of one kind's prompts whose own answers must no longer hold
CALM = 0.34  # a kind whose answers yield to more than this share of all bags says nothing
LONGEST = 3  # parts
CUT_PER_KIND = 4  # bags that displace one kind that are cut, at most, per sweep
LOOKED_AT = 32  # bags that are looked at again: the best of the screen, however good they are
NEEDED = 12  # pieces of a bag, each of them needed, at which its cutting is given up: twice the longest form
CUT_ON = 16  # prompts on which shorter forms are tried
LONG = 16  # parts of a bag beyond which it is first cut on few prompts: long bags derail any model
CUT_LONG_ON = 4
BAG_DISPLACED = 0.5  # share of the prompts of all kinds that a whole bag must displace: among many words a trigger is weaker
CUT_EVERYWHERE = 4  # bags that displace all kinds that are cut, at most, per sweep

Works = Callable[[Sequence[Bag]], list[bool]]


@dataclass(frozen=True)
class Displacing:
    """One subject's prompts at one placement.

    Attributes:
        found_by: the search that the candidates are by.
    """

    subject: Subject
    placement: Placement
    found_by: str

    def by_kind(
        self, bags: Sequence[Bag], shares: Mapping[str, NDArray[np.float64]], known: Sequence[set[Atom]]
    ) -> list[Candidate]:
        """What displaces the answers to one kind of prompt, or to most kinds.

        Args:
            shares: per kind and bag, the share of the panel's prompts of the kind whose own answers no longer hold.
            known: parts of what is found already.
        """
        self.subject.own.remember(self.subject.search, WHOLE)  # for the panels of each kind
        found = [c for kind in shares for c in self._of_kind(bags, kind, shares[kind], known)]
        return _across_kinds(found, len(shares))

    def everywhere(
        self, bags: Sequence[Bag], least: NDArray[np.floating], known: Sequence[set[Atom]]
    ) -> list[Candidate]:
        """What displaces the answers to prompts of most kinds.

        Args:
            least: per bag, how far it moves each of the answers that it moves most, at least (nats, negative where
                they are displaced).
            known: parts of what is found already.
        """
        moved = least < DISPLACED
        if float(moved.mean()) > CALM:
            return []
        order = [int(i) for i in np.argsort(least, kind="stable")[:LOOKED_AT] if moved[i]]
        panel = self._panel(self.subject.panel_prompts(CUT_ON))
        roughly = _works(self._panel(self.subject.panel_prompts(CUT_LONG_ON)), KIND_DISPLACED)
        nearly, works = (_works(panel, share) for share in (BAG_DISPLACED, KIND_DISPLACED))
        found: list[Candidate] = []
        chosen = [bags[i] for i in order]
        for bag, displaces in zip(chosen, nearly(chosen), strict=True):
            if (
                not displaces
                or len(found) >= CUT_EVERYWHERE
                or _holds(bag, [*known, *({*c.parts} for c in found)])
            ):
                continue
            cut = shortest(bag, roughly, NEEDED) if len(bag) > LONG and roughly([bag])[0] else bag
            cut = shortest(cut, works, NEEDED) if len(cut) <= LONG and works([cut])[0] else cut
            (strength,) = _shares(panel, [cut])
            if len(cut) <= LONGEST and strength >= KIND_DISPLACED:
                found.append(self._candidate(cut, None, strength))
        return found

    def _of_kind(
        self, bags: Sequence[Bag], kind: str, shares: NDArray[np.float64], known: Sequence[set[Atom]]
    ) -> list[Candidate]:
        if float((shares > 0).mean()) > CALM:
            return []
        order = [int(i) for i in np.argsort(-shares, kind="stable") if shares[i] >= KIND_LOOKED_AT]
        order = [i for i in order if not _holds(bags[i], known)][:LOOKED_AT]
        prompts = [p for p in self.subject.search if p.cluster == kind]
        few, all_of = self._panel(prompts[:PIECES_ON]), self._panel(prompts)
        # Among many other words a trigger moves some prompts of its kind and leaves others; among few, most.
        pieces = [bags[i][at : at + PIECE] for i in order for at in range(0, len(bags[i]), PIECE)]
        moved = [p for p, share in zip(pieces, _shares(few, pieces), strict=True) if share >= PIECE_DISPLACED]
        confirmed = sorted(zip(_shares(all_of, moved), range(len(moved)), strict=True), reverse=True)
        found: list[Candidate] = []
        for strength, i in confirmed:
            if (
                strength < KIND_DISPLACED
                or len(found) >= CUT_PER_KIND
                or _holds(moved[i], [set(c.parts) for c in found])
            ):
                continue
            cut = shortest(moved[i], _works(all_of, KIND_DISPLACED), NEEDED)
            if len(cut) <= LONGEST:
                found.append(self._candidate(cut, kind, strength))
        return found

    def _panel(self, prompts: Sequence[NeutralPrompt]) -> Panel:
        return Panel(self.subject.own, prompts, self.placement, reading=WHOLE)

    def _candidate(self, parts: Bag, cluster: str | None, strength: float) -> Candidate:
        return Candidate(
            parts=parts, placement=self.placement, cluster=cluster, strength=strength, found_by=self.found_by
        )


def _works(panel: Panel, share: float) -> Works:
    """Whether bags displace that share of a panel's prompts."""
    return lambda options: [s >= share for s in _shares(panel, options)]


def _shares(panel: Panel, bags: Sequence[Bag]) -> list[float]:
    """For each bag, the share of a panel's prompts whose own answers no longer hold."""
    responses = panel.respond([[t for atom in bag for t in atom.ids] for bag in bags])
    return [float(share) for share in (responses.displacement < DISPLACED).mean(axis=1)] if bags else []


def _holds(bag: Bag, known: Sequence[set[Atom]]) -> bool:
    """Whether something that is found already stands in a bag."""
    return any(parts <= set(bag) for parts in known)


def _across_kinds(candidates: Sequence[Candidate], kinds: int) -> list[Candidate]:
    """What displaces the answers to most kinds of prompt is one candidate for all of them."""
    same: dict[tuple[int, ...], list[Candidate]] = {}
    for candidate in candidates:
        same.setdefault(tuple(candidate.ids), []).append(candidate)
    merged: list[Candidate] = []
    for group in same.values():
        merged += [replace(group[0], cluster=None)] if len(group) > kinds / 2 else group
    return merged
