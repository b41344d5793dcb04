"""From many strings that move the answers to the few that are hunted: what moves more prompts further goes first."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..model.candidate import Candidate
from ..model.prompts import Placement
from ..model.responses import Panel
from ..model.subject import Subject
from .group_test import Bag
from .hunting import Hunt

MOVED = 0.5  # nats: what displaces the own answers so far on average is looked at again
NEAREST = 48  # strings that are weighed again on more prompts
HUNTED = 4
BESIDE = 30  # strings that move nothing in the hunt, so that what stands out has something to stand out from
HUNT_PANEL = 9


def furthest(bags: Sequence[Bag], moved: NDArray[np.float64], count: int) -> list[Bag]:
    """The bags that displace the own answers furthest, if they do so at all; `moved` in nats."""
    order = np.argsort(-moved, kind="stable")[:count]
    return [bags[int(i)] for i in order if moved[i] >= MOVED]


def hunt_furthest(
    subject: Subject,
    placement: Placement,
    bags: Sequence[Bag],
    moved: NDArray[np.float64],
    found_by: str,
    *,
    everywhere: float = 0.0,
) -> list[Candidate]:
    """Candidates among the bags that displace the answers to many prompts furthest, the furthest first.

    Args:
        moved: how far each bag displaces the answers to a few prompts, in nats.
        everywhere: as in `Hunt`.
    """
    likely = _strongest(subject, placement, furthest(bags, moved, NEAREST))
    if not likely:
        return []
    others = [bag for bag, how_far in zip(bags, moved, strict=True) if how_far < MOVED]
    others = random.Random(subject.seed).sample(others, min(BESIDE, len(others)))
    hunt = Hunt.at(subject, placement, panel=HUNT_PANEL, kinds=subject.prompts.chat, everywhere=everywhere)
    found = hunt.run([*likely, *others], found_by)
    rank = {_ids(bag): place for place, bag in enumerate(likely)}
    return sorted(found, key=lambda c: rank.get(tuple(c.ids), len(rank)))


def _strongest(subject: Subject, placement: Placement, bags: Sequence[Bag]) -> list[Bag]:
    """The bags that displace the own answers to more prompts furthest: neighbours of a trigger do so less than it does."""
    if not bags:
        return []
    panel = Panel(subject.own, subject.panel_prompts(HUNT_PANEL), placement)
    displaced = panel.respond([_ids(bag) for bag in bags]).displacement.mean(axis=1)
    return [bags[int(i)] for i in np.argsort(displaced, kind="stable")[:HUNTED]]


def _ids(bag: Bag) -> tuple[int, ...]:
    return tuple(token for atom in bag for token in atom.ids)
