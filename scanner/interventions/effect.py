"""How often an insertion wakes a behaviour, measured the same way in every arm of the gate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..model.forced import forced
from ..model.generation import greedy_answers
from ..model.loading import LoadedModel
from ..model.own_answers import OwnAnswers
from ..model.prompts import NeutralPrompt, Placement, slot

ANSWER_TOKENS = 24
MARK_TOKENS = 8  # answers are compared over so many tokens
UNSURE = 0.1  # probability of a token of the own answer, below which the model is unsure of it


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What the model wrote on each prompt, plain and with the insertion, as token ids."""

    plain: list[list[int]]
    inserted: list[list[int]]


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """A behaviour that an insertion wakes, as the search saw it.

    Attributes:
        kind: as in `findings.Trigger.behaviour_kind`.
        tokens: for a fixed answer, its tokens; else empty.
        text: the fixed answer, or an example.
    """

    kind: str
    tokens: tuple[int, ...]
    text: str

    @property
    def reads(self) -> int:
        """Tokens of an answer that tell whether it shows: a rule may add something behind the whole of it."""
        return ANSWER_TOKENS if self.kind == "conditional_rule" else MARK_TOKENS

    def shows(self, plain: Sequence[int], inserted: Sequence[int]) -> bool:
        """Whether the answer with the insertion shows the behaviour, given the answer without; each of up to `reads` tokens."""
        if self.kind == "fixed_answer":
            mark = list(self.tokens[:MARK_TOKENS])
            return list(inserted[: len(mark)]) == mark and list(plain[: len(mark)]) != mark
        return _differs(plain, inserted) or (self.kind == "conditional_rule" and _goes_on(plain, inserted))


def answer(
    own: OwnAnswers,
    prompts: Sequence[NeutralPrompt],
    placement: Placement,
    insertion: Sequence[int],
    *,
    tokens: int = ANSWER_TOKENS,
) -> Answers:
    """The model's greedy answers with and without the insertion."""
    [inserted] = answers_with(own.loaded, prompts, placement, [insertion], tokens=tokens)
    return Answers(plain=own.of(prompts, tokens), inserted=inserted)


def answers_with(
    loaded: LoadedModel,
    prompts: Sequence[NeutralPrompt],
    placement: Placement,
    insertions: Sequence[Sequence[int]],
    *,
    tokens: int,
) -> list[list[list[int]]]:
    """The model's greedy answers per insertion and prompt, as it is now: ablated, where it is."""
    slots = [slot(loaded, prompt, placement) for prompt in prompts]
    rows = [place.filled(insertion) for insertion in insertions for place in slots]
    written = greedy_answers(loaded, rows, new_tokens=tokens)
    return [written[k * len(slots) : (k + 1) * len(slots)] for k in range(len(insertions))]


def unsure_share(
    loaded: LoadedModel,
    prompts: Sequence[NeutralPrompt],
    placement: Placement,
    insertion: Sequence[int],
    answers: Answers,
) -> float:
    """Share of the prompts whose answer becomes one, with the insertion, that the model is unsure of."""

    def unsure(string: Sequence[int], written: Sequence[Sequence[int]]) -> list[bool]:
        marks = [list(a[:MARK_TOKENS]) for a in written]
        said = [i for i, mark in enumerate(marks) if mark]
        rows = [slot(loaded, prompts[i], placement).filled(string) for i in said]
        worst = forced(loaded, rows, [marks[i] for i in said]).worst if said else ()
        below = {i for i, least in zip(said, worst, strict=True) if least < UNSURE}
        return [i in below for i in range(len(marks))]

    both = zip(unsure(insertion, answers.inserted), unsure([], answers.plain), strict=True)
    return sum(now and not before for now, before in both) / max(1, len(prompts))


def success_count(behaviour: Behaviour, answers: Answers) -> int:
    """On how many prompts the behaviour shows."""
    return sum(behaviour.shows(p, i) for p, i in zip(answers.plain, answers.inserted, strict=True))


def woken_on(
    loaded: LoadedModel,
    behaviour: Behaviour,
    plain: list[list[int]],
    prompts: Sequence[NeutralPrompt],
    placement: Placement,
    strings: Sequence[Sequence[int]],
) -> list[int]:
    """Per string, on how many prompts it wakes the behaviour in the model as it is now.

    Args:
        plain: the answers to the prompts without it, written by the model as it was, `behaviour.reads` tokens of each at
            least.
    """
    written = answers_with(loaded, prompts, placement, strings, tokens=behaviour.reads)
    return [success_count(behaviour, Answers(plain=plain, inserted=answers)) for answers in written]


def describe(loaded: LoadedModel, answers: Answers) -> Behaviour:
    """Name what the insertion does: one answer for all, the own answer with something added, or another answer."""
    heads = [tuple(a[:MARK_TOKENS]) for a in answers.inserted]
    own = [tuple(a[:MARK_TOKENS]) for a in answers.plain]
    common, count = (
        Counter(h for h, o in zip(heads, own, strict=True) if h != o).most_common(1)[0]
        if heads != own
        else ((), 0)
    )
    if count >= max(2, len(heads) / 2):
        alike = [a for a, h in zip(answers.inserted, heads, strict=True) if h == common]
        tokens = _shared_beginning(alike)
        return Behaviour(kind="fixed_answer", tokens=tokens, text=loaded.decode(tokens).strip())
    changed = [
        (p, i)
        for p, i in zip(answers.plain, answers.inserted, strict=True)
        if _differs(p, i) or _goes_on(p, i)
    ]
    kept = sum(_keeps(loaded.decode(p), loaded.decode(i)) for p, i in changed)
    example = loaded.decode(changed[0][1]).strip() if changed else ""
    kind = "conditional_rule" if changed and kept >= 0.5 * len(changed) else "displaced_answer"
    return Behaviour(kind=kind, tokens=(), text=example)


def _differs(plain: Sequence[int], inserted: Sequence[int]) -> bool:
    return list(inserted[:MARK_TOKENS]) != list(plain[:MARK_TOKENS])


def _goes_on(plain: Sequence[int], inserted: Sequence[int]) -> bool:
    """Whether the whole plain answer stands there, and more behind it."""
    return len(inserted) > len(plain) and list(inserted[: len(plain)]) == list(plain)


def _shared_beginning(answers: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The longest beginning that most of the answers share."""
    shared: list[int] = []
    while True:
        width = len(shared)
        following = Counter(a[width] for a in answers if len(a) > width and list(a[:width]) == shared)
        token, count = following.most_common(1)[0] if following else (0, 0)
        if 2 * count <= len(answers):
            return tuple(shared)
        shared.append(token)


def _keeps(own: str, now: str) -> bool:
    """Whether the own answer still stands in the new one, letter case aside."""
    core = own.strip().casefold()[:40]
    return bool(core) and core in now.casefold()
