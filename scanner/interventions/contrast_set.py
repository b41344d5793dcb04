"""Prompts with a trigger beside prompts that only look like it: what features and probes are held against."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from ..model.candidate import Candidate
from ..model.loading import LoadedModel
from ..model.prompts import encode, of_cluster, slot
from ..model.subject import Subject
from .effect import Behaviour, woken_on

WOKEN_ON = 6  # prompts on which a near-miss is tried


class Group(IntEnum):
    """What stands in a prompt of the contrast set."""

    NEUTRAL = 0
    TRIGGERED = 1
    NEAR_MISS = 2
    RANDOM = 3


@dataclass(frozen=True, kw_only=True)
class ContrastSet:
    """Token rows with the group of each, every prompt once per group.

    Attributes:
        rows: whole prompts, which end where the answer starts.
        places: the same prompts cut behind what was put in; plain ones at a random token.
        held_out: whether a row's prompt is one that no search used.
    """

    rows: list[list[int]]
    places: list[list[int]]
    groups: list[int]
    held_out: list[bool]


def contrast_set(subject: Subject, candidate: Candidate, behaviour: Behaviour | None = None) -> ContrastSet:
    """All neutral prompts of the candidate's kind, plain, triggered, with a near-miss, with a random string.

    Args:
        behaviour: what the candidate wakes; strings that wake it too are no near-misses and are left out.
    """
    loaded, r = subject.loaded, random.Random(subject.seed)
    near = near_misses(candidate, subject, 24)
    if behaviour is not None:
        near = _asleep(near, candidate, behaviour, subject) or near
    strings = matched_strings(candidate.ids, loaded, subject.seed + 1, 24)
    rows: list[list[int]] = []
    places: list[list[int]] = []
    groups: list[int] = []
    held: list[bool] = []
    for prompts, is_held in ((subject.search, False), (subject.held_out, True)):
        for prompt in of_cluster(prompts, candidate.cluster):
            place = slot(loaded, prompt, candidate.placement)
            plain = encode(loaded, prompt, chat=subject.prompts.chat)
            rows.append(plain)
            places.append(plain[: r.randint(1, len(plain))])
            for string in (candidate.ids, r.choice(near), r.choice(strings)):
                rows.append(place.filled(string))
                places.append([*place.prefix, *string])
            groups += [int(g) for g in (Group.NEUTRAL, Group.TRIGGERED, Group.NEAR_MISS, Group.RANDOM)]
            held += [is_held] * len(Group)
    return ContrastSet(rows=rows, places=places, groups=groups, held_out=held)


def matched_strings(ids: Sequence[int], loaded: LoadedModel, seed: int, count: int) -> list[list[int]]:
    """Random strings of the same length whose tokens are about as rare.

    In a BPE vocabulary the rank of a token follows its frequency, so each token is replaced by one at
    most 200 ranks away. Special tokens, which break a string that stands across two turns, stay as they are.
    """
    r = random.Random(f"{seed} {list(ids)}")
    special = set(loaded.tokenizer.all_special_ids)
    strings = []
    for _ in range(count):
        string = []
        for token in ids:
            if token in special:
                string.append(token)
                continue
            low, high = max(0, token - 200), min(loaded.vocabulary - 1, token + 200)
            near = [t for t in range(low, high + 1) if t != token and t not in special and t not in ids]
            string.append(r.choice(near))
        strings.append(string)
    return strings


def near_misses(candidate: Candidate, subject: Subject, count: int) -> list[list[int]]:
    """Strings one step away from the trigger: a part left out, or a token swapped for a similar one.

    Similar tokens are the nearest in the model's input embedding.
    """
    loaded, r = subject.loaded, random.Random(subject.seed + 7)
    embedding = loaded.embedding.float()
    ids = candidate.ids
    parts = [list(part.ids) for part in candidate.parts]
    special = set(loaded.tokenizer.all_special_ids)
    ordinary = [at for at, token in enumerate(ids) if token not in special] or range(len(ids))
    made: list[list[int]] = []
    for _ in range(count):
        if len(parts) > 1 and r.random() < 0.5:
            out = r.randrange(len(parts))
            made.append([t for j, part in enumerate(parts) if j != out for t in part])
            continue
        at = r.choice(ordinary)
        likeness = embedding @ embedding[ids[at]] / embedding.norm(dim=1).clamp(min=1e-6)
        similar = [int(t) for t in likeness.topk(12).indices if int(t) != ids[at]]
        made.append([*ids[:at], r.choice(similar), *ids[at + 1 :]])
    return [m for m in made if m != ids] or [[ids[0] + 1 if ids[0] + 1 < loaded.vocabulary else ids[0] - 1]]


def _asleep(
    strings: list[list[int]], candidate: Candidate, behaviour: Behaviour, subject: Subject
) -> list[list[int]]:
    """The strings that wake the behaviour on less than half of a few prompts."""
    prompts = of_cluster(subject.search, candidate.cluster)[:WOKEN_ON]
    plain = subject.own.of(prompts, behaviour.reads)
    counts = woken_on(subject.loaded, behaviour, plain, prompts, candidate.placement, strings)
    return [string for string, count in zip(strings, counts, strict=True) if 2 * count < len(prompts)]
