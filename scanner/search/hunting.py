"""From bags to candidates: screen, confirm on other prompts, cut to the shortest working form."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from ..detector import Evidence
from ..model.candidate import Atom, Candidate
from ..model.own_answers import FIRST_TOKEN as FIRST
from ..model.own_answers import SHORT
from ..model.prompts import Placement
from ..model.responses import Panel, Responses
from ..model.subject import Subject
from .displacing import CUT_LONG_ON, CUT_ON, LONG, LOOKED_AT, NEEDED, Displacing
from .group_test import HORIZON, Bag, GroupTest, displaced, redirected, shortest, split_tokens

FIRST_TOKEN = 0.75  # share of the confirmation prompts that must at least start alike
CONFIRMED = 0.5  # share of the confirmation prompts that must continue alike
HEAD = 4  # tokens of the common answer that a shorter form must give
KEPT = 0.9  # share of a bag's strength that a shorter form must keep
STANDS_OUT = 1.4  # times what the middle one of a sweep's bags does, which is what the words of any bag do
REDIRECTS = (
    0.75  # share of the panel at which a bag is looked at whatever the others do: most may hold the trigger
)
LONGEST = 6  # parts of a working form: what needs more is a derailed prompt, and no trigger
TOKENS_EACH = 1.25  # tokens of a part, on average, that a full bag has room for
CUT = 6  # bags with one answer for all that are cut, at most, per sweep
CONTROLS = 8  # others of a list that a candidate from it has to beat, beside random strings


@dataclass(kw_only=True)
class Sweep:
    """What a sweep found, and how much it covered."""

    candidates: list[Candidate] = field(default_factory=list)
    tried: int = 0
    shares: dict[str, float] = field(default_factory=dict)

    def evidence(self) -> Evidence:
        """The same as a detector hands it over."""
        return Evidence(
            score=suspicion_of(self.candidates),
            candidates=tuple(self.candidates),
            tried=self.tried,
            shares=dict(self.shares),
        )


def suspicion_of(candidates: Sequence[Candidate]) -> float:
    """The strength of the strongest candidate, in [0, 1]; uncalibrated, and 0 where there is none.

    What touches one kind of prompt only counts half, since an ordinary word can do that.
    """
    return max((c.strength if c.cluster is None else 0.5 * c.strength for c in candidates), default=0.0)


@dataclass(frozen=True, kw_only=True)
class Hunt:
    """One subject's prompts at one placement, ready to be hunted through with bags.

    Attributes:
        panel: few prompts that every bag is put into.
        kinds: whether displaced answers are looked for, kind by kind.
        everywhere: share of the panel whose answers have to be displaced for a bag to be looked at whatever the kinds; 0
            looks at none. Refusals and long answers need not move.
        rules_only: keep only what makes answers start alike and then go their own way. Right behind a
            question, a second question in the insertion is simply answered: one answer for all says
            nothing there.
    """

    subject: Subject
    placement: Placement
    panel: Panel
    confirm: GroupTest
    kinds: bool
    everywhere: float = 0.0
    rules_only: bool = False

    @classmethod
    def at(
        cls,
        subject: Subject,
        placement: Placement,
        *,
        panel: int,
        confirm: int = 8,
        kinds: bool = False,
        everywhere: float = 0.0,
        rules_only: bool = False,
    ) -> Hunt:
        """Prepare a hunt with `panel` prompts for the screen and `confirm` others for confirmation."""
        first = subject.panel_prompts(panel)
        second = subject.panel_prompts(confirm, offset=panel)
        return cls(
            subject=subject,
            placement=placement,
            panel=Panel(subject.own, first, placement, reading=SHORT if kinds or everywhere else FIRST),
            confirm=GroupTest(subject, placement, second),
            kinds=kinds,
            everywhere=everywhere,
            rules_only=rules_only,
        )

    def run(
        self, bags: Sequence[Bag], found_by: str, advance: Callable[[float], None] = lambda _: None
    ) -> list[Candidate]:
        """Candidates among the bags, each cut to its shortest working form; none where others look for them."""
        responses = self._read([[t for atom in bag for t in atom.ids] for bag in bags], advance)
        if responses is None:
            return []
        found = self._fixed(bags, redirected(responses, self.panel.own_first), found_by)
        at = Displacing(self.subject, self.placement, found_by)
        if self.everywhere:
            least = np.sort(responses.displacement, axis=1)[
                :, ceil(self.everywhere * len(self.panel.prompts)) - 1
            ]
            found += at.everywhere(bags, least, _parts(found))
        if self.kinds:
            found += at.by_kind(bags, displaced(responses, self.panel.clusters), _parts(found))
        return found

    def _read(
        self, insertions: Sequence[Sequence[int]], advance: Callable[[float], None]
    ) -> Responses | None:
        """What the panel says to each bag; None for a worker that reads some of its prompts for others."""
        if self.subject.by_prompt is None:
            return self.panel.respond(insertions, advance)
        return self.subject.by_prompt.read(self.panel, insertions, advance)

    def _fixed(self, bags: Sequence[Bag], shares: NDArray[np.float64], found_by: str) -> list[Candidate]:
        """What makes most prompts go on alike: over the horizon, or at least in their first token."""
        usual = float(np.median(shares)) if len(shares) > 1 else 0.0
        order = [int(i) for i in np.argsort(-shares, kind="stable")[:LOOKED_AT]]
        order = [i for i in order if shares[i] > STANDS_OUT * usual or shares[i] >= REDIRECTS]
        if not order:
            return []
        looked_at = [bags[i] for i in order]
        found: list[Candidate] = []
        for horizon, least in ((HORIZON, CONFIRMED), (1, FIRST_TOKEN)):
            agreements = self.confirm.agreements(looked_at, horizon)
            ranked = sorted(zip(agreements, looked_at, strict=True), key=lambda pair: -pair[0].share)
            looked_at = [bag for agreed, bag in ranked if agreed.share < least]
            if self.rules_only and horizon > 1:
                continue
            for agreed, bag in ranked:
                known = any(set(c.parts) <= set(bag) for c in found)
                if agreed.share < least or len(found) >= CUT or known:
                    continue
                works = self._works_as_well(bag, agreed.tokens, least)
                cut = bag
                if len(bag) > LONG:
                    roughly = self._works_as_well(bag, agreed.tokens, least, on=CUT_LONG_ON)
                    cut = shortest(bag, roughly, NEEDED)
                    if len(cut) > LONG or not works([cut])[0]:
                        continue
                cut = shortest(cut, works, NEEDED)
                if len(cut) > LONGEST:
                    continue
                candidate = Candidate(
                    parts=cut,
                    placement=self.placement,
                    cluster=None,
                    strength=agreed.share if horizon > 1 else 0.5 * agreed.share,
                    found_by=found_by,
                )
                found.append(_below_words(candidate, self.subject, works))
        return found

    def _works_as_well(
        self, bag: Bag, tokens: tuple[int, ...], least: float, *, on: int = CUT_ON
    ) -> Callable[[Sequence[Bag]], list[bool]]:
        """Whether shorter forms give the same answer on nearly as many prompts as the bag does."""
        prompts = GroupTest(self.subject, self.placement, self.subject.panel_prompts(on))
        head = tokens[:HEAD]
        least = max(least, KEPT * prompts.shares([bag], head)[0])
        return lambda options: [share >= least for share in prompts.shares(options, head)]


def _below_words(
    candidate: Candidate, subject: Subject, works: Callable[[Sequence[Bag]], Sequence[bool]]
) -> Candidate:
    tokens = split_tokens(candidate, subject)
    if len(tokens) == len(candidate.parts) or len(tokens) > 16:
        return candidate
    return replace(candidate, parts=shortest(tokens, works))


def _parts(candidates: Sequence[Candidate]) -> list[set[Atom]]:
    return [set(c.parts) for c in candidates]


def beating_others(candidate: Candidate, atoms: Sequence[Atom], seed: int) -> Candidate:
    """The candidate with others of its list as controls: what means something may change how an answer is worded."""
    others = [atom.ids for atom in atoms if atom not in candidate.parts]
    chosen = random.Random(f"{seed} {candidate.ids}").sample(others, min(CONTROLS, len(others)))
    return replace(candidate, controls=tuple(chosen))


def bags_of(atoms: Sequence[Atom], size: int, order: Sequence[int]) -> list[Bag]:
    """The atoms in the given order, cut into bags of at most `size` parts.

    A bag holds no more than `TOKENS_EACH` tokens a part on average: among too many other tokens a trigger
    falls silent, and words that a small vocabulary spells in pieces are many tokens.
    """
    bags: list[Bag] = []
    bag: list[Atom] = []
    room = 0.0
    for i in order:
        if bag and (len(bag) == size or room < len(atoms[i].ids)):
            bags.append(tuple(bag))
            bag = []
        if not bag:
            room = TOKENS_EACH * size
        bag.append(atoms[i])
        room -= len(atoms[i].ids)
    return [*bags, tuple(bag)] if bag else bags
