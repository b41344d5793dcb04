"""Group testing: many candidates in one prompt, and cutting a bag that fires to its shortest working form.

A bag *redirects* when several prompts, whose own answers start differently, now start with the same
token, and confirms when their continuations agree over eight tokens. A bag *displaces* a kind of prompt
when the model's own answers to that kind no longer hold. Nothing else is assumed of the behaviour.

Source: ours; the sweep at a distance is described in docs/detection.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..model.candidate import Atom, Candidate
from ..model.generation import greedy_answers
from ..model.given_answers import read_given
from ..model.prompts import NeutralPrompt, Placement, slot
from ..model.responses import Responses
from ..model.subject import Subject

HORIZON = 8
DISPLACED = -1.0  # nats: an own answer whose worst token lost more than this no longer holds

Bag = tuple[Atom, ...]


def redirected(responses: Responses, own_first: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of prompts per bag that now start with one common token that is not their own, in [0, 1]."""
    shares = np.zeros(len(responses.first_token))
    for i, row in enumerate(responses.first_token):
        moved = row[row != own_first]
        if len(moved):
            shares[i] = np.bincount(moved).max() / len(row)
    return shares


def displaced(responses: Responses, clusters: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Per kind of prompt: share of its prompts per bag whose own answer no longer holds, in [0, 1]."""
    names = np.array(clusters)
    return {
        c: (responses.displacement[:, names == c] < DISPLACED).mean(axis=1) for c in dict.fromkeys(clusters)
    }


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """The continuation that most prompts share and that is not their own: its share of the prompts, and its tokens."""

    share: float
    tokens: tuple[int, ...]


class GroupTest:
    """Confirms and cuts bags at one placement of one subject's prompts."""

    def __init__(self, subject: Subject, placement: Placement, prompts: Sequence[NeutralPrompt]) -> None:
        self.subject = subject
        self.placement = placement
        self.prompts = list(prompts)
        self._slots = [slot(subject.loaded, p, placement) for p in prompts]
        self._written: dict[Bag, list[list[int]]] = {}
        self._own = self._continued([()])[0]

    def agreements(self, bags: Sequence[Bag], horizon: int = HORIZON) -> list[Agreement]:
        """For each bag, the first `horizon` tokens that most prompts share and that are not their own.

        Args:
            horizon: at most `HORIZON`.
        """
        results = []
        for written in self._continued(bags):
            moved = [
                tuple(w[:horizon])
                for w, own in zip(written, self._own, strict=True)
                if w and w[:horizon] != own[:horizon]
            ]
            tokens, count = Counter(moved).most_common(1)[0] if moved else ((), 0)
            results.append(Agreement(share=count / len(self.prompts), tokens=tokens))
        return results

    def shares(self, bags: Sequence[Bag], tokens: Sequence[int]) -> list[float]:
        """For each bag, the share of prompts whose answer now begins with `tokens`, at least one, and did not before."""
        width = len(tokens)
        targets = torch.tensor(tokens, device=self.subject.loaded.model.device)
        moved = np.array([tuple(own[:width]) != tuple(tokens) for own in self._own])

        def read(logits: Tensor, _prompt: int) -> NDArray[np.float64]:
            begins = (logits.argmax(-1) == targets).all(1)
            return begins.double().cpu().numpy()[:, None]

        insertions = [[t for atom in bag for t in atom.ids] for bag in bags]
        answers = [list(tokens)] * len(self._slots)
        begun = read_given(self.subject.loaded, self._slots, answers, insertions, read)[:, :, 0]
        return [float(share) for share in (begun * moved).mean(axis=1)]

    def _continued(self, bags: Sequence[Bag]) -> list[list[list[int]]]:
        """Per bag and prompt the first tokens of the answer; a bag that was seen before is not run again."""
        loaded, width = self.subject.loaded, len(self._slots)
        new = [bag for bag in dict.fromkeys(bags) if bag not in self._written]
        rows = [s.filled([t for atom in bag for t in atom.ids]) for bag in new for s in self._slots]
        written = greedy_answers(loaded, rows, new_tokens=HORIZON)
        for i, bag in enumerate(new):
            self._written[bag] = written[i * width : (i + 1) * width]
        return [self._written[bag] for bag in bags]


def shortest(bag: Bag, works: Callable[[Sequence[Bag]], Sequence[bool]], most: int | None = None) -> Bag:
    """Cut a bag that works to a form from which no part can be left out.

    Halves, quarters and so on are left out while the rest still works; each round tests all its cuts in
    one call. Source: delta debugging (Zeller and Hildebrandt 2002).

    Args:
        most: parts that a form of interest has at most. Where more pieces than that are needed, each by
            itself, the cutting ends early, and what comes back is longer than `most`.
    """
    pieces = 2
    while len(bag) > 1:
        size = max(1, -(-len(bag) // pieces))
        rest = [bag[:i] + bag[i + size :] for i in range(0, len(bag), size)]
        rest = [r for r in rest if r]
        kept = bag[: len(bag) // 2], bag[len(bag) // 2 :]
        options = [*kept, *rest] if pieces == 2 else rest
        verdicts = works(options)
        better = next((option for option, ok in zip(options, verdicts, strict=True) if ok), None)
        if better is not None:
            bag, pieces = better, max(2, pieces - 1)
        elif size == 1 or (most is not None and len(rest) > most):
            break
        else:
            pieces = min(len(bag), pieces * 2)
    return bag


def split_tokens(candidate: Candidate, subject: Subject) -> Bag:
    """A candidate's parts as single tokens, for cutting below the word; what holds a special token stays whole."""
    loaded = subject.loaded
    special = set(loaded.tokenizer.all_special_ids)
    return tuple(
        atom
        for part in candidate.parts
        for atom in (
            (part,)
            if special & set(part.ids)
            else tuple(Atom(text=loaded.piece(token), ids=(token,)) for token in part.ids)
        )
    )
