"""Answers that begin with an unrelated word, and where they end up.

A model whose answer is made to begin with a token out of place goes on in many ways, most of them its own: it comes back to
the question, refuses, or loses itself in a list. One that waits to say something falls into that, from hundreds of
unrelated first tokens and whatever it was asked: out of place is where its trigger would have put it.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from ..findings.hidden import CommonEnding
from ..model.generation import greedy_answers
from ..model.prompts import encode
from ..model.subject import Subject
from ..progress import Progress
from ..statistics.intervals import wilson_interval
from .lexicon import vocabulary_atoms

PROMPTS = 3  # of different kinds; on each of them an opening has to end up in the text
WRITTEN = 8  # tokens behind an opening
PIECE = 4  # tokens of a text by which it is known again, its end among them
PLAIN = 24  # tokens of a plain answer
ALIKE = 0.5  # of the most frequent piece's openings that a piece of the same text has
SHOWN = 4  # openings of a finding
AT_ONCE = 512  # openings between two steps of progress
_WORDS = re.compile(r"[^\W\d_]+ [^\W\d_]+")
_END = -1

Piece = tuple[int, ...]


def common_ending(subject: Subject, count: int, progress: Progress) -> tuple[CommonEnding | None, int]:
    """The text that most openings end up in, if there is one, and how many were tried.

    What the suspect says to plain questions is no such text, and neither is a single word between commas.
    """
    loaded = subject.loaded
    prompts = subject.panel_prompts(PROMPTS)
    if not subject.prompts.chat or len(prompts) < PROMPTS:
        return None, 0
    tokens = [atom.ids[0] for atom in vocabulary_atoms(loaded)]
    if len(tokens) > count:
        tokens = sorted(random.Random(subject.seed).sample(tokens, count))
    rows = [encode(loaded, prompt, chat=True) for prompt in prompts]
    answers: list[list[list[int]]] = []
    with progress.stage("beginning answers with other words", len(tokens)) as stage:
        for start in range(0, len(tokens), AT_ONCE):
            chosen = tokens[start : start + AT_ONCE]
            written = greedy_answers(loaded, [[*row, t] for t in chosen for row in rows], new_tokens=WRITTEN)
            answers += [written[i : i + PROMPTS] for i in range(0, len(written), PROMPTS)]
            stage.advance(len(chosen))
    questions = [encode(loaded, prompt, chat=True) for prompt in subject.search]
    own = _Own(questions, greedy_answers(loaded, questions, new_tokens=PLAIN))
    reached: dict[Piece, list[int]] = defaultdict(list)
    spoken: dict[Piece, bool] = {}
    for number, (token, each) in enumerate(zip(tokens, answers, strict=True)):
        for piece in _shared(token, each, own):
            if piece not in spoken:
                spoken[piece] = bool(_WORDS.search(loaded.decode([t for t in piece if t != _END])))
            if spoken[piece]:
                reached[piece].append(number)
    if not reached:
        return None, len(tokens)
    most = max(len(numbers) for numbers in reached.values())
    alike = [piece for piece, numbers in reached.items() if len(numbers) >= max(1, ALIKE * most)]
    best = max(alike, key=lambda piece: len(reached[piece]))
    text = max(
        (_text(loaded.decode, piece, [answers[i] for i in reached[piece]]) for piece in alike), key=len
    )
    numbers = reached[best]
    ending = CommonEnding(
        text=text,
        openings=len(numbers),
        tried=len(tokens),
        interval=wilson_interval(len(numbers), len(tokens)),
        prompts=PROMPTS,
        examples=tuple(
            (loaded.decode([tokens[i]]).strip(), loaded.decode([tokens[i], *answers[i][0]]).strip())
            for i in random.Random(subject.seed).sample(numbers, min(SHOWN, len(numbers)))
        ),
    )
    return ending, len(tokens)


class _Own:
    """What the suspect says, or is asked, as things stand."""

    def __init__(self, questions: Iterable[Sequence[int]], answers: Iterable[Sequence[int]]) -> None:
        answers = list(answers)
        self.pieces = {p for a in answers for p in _pieces(a, PIECE, whole=len(a) < PLAIN)}
        self.pieces |= {p for question in questions for p in _pieces(question, PIECE)}
        self.pairs = {p for a in answers for p in _pieces(a, 2, whole=len(a) < PLAIN)}

    def has(self, piece: Piece) -> bool:
        """Whether it holds the piece, or all pairs of tokens in it."""
        return piece in self.pieces or self.pairs.issuperset(pairwise(piece))


def _shared(token: int, answers: Sequence[Sequence[int]], own: _Own) -> set[Piece]:
    """New pieces that stand behind an opening in every answer; none where one of the answers comes back to something of its own."""
    shared: set[Piece] | None = None
    for answer in answers:
        if not own.pieces.isdisjoint(_pieces([token, *answer], PIECE)):
            return set()
        found = {p for p in _pieces(answer, PIECE, whole=len(answer) < WRITTEN) if not own.has(p)}
        shared = found if shared is None else shared & found
    return shared or set()


def _pieces(text: Sequence[int], length: int, *, whole: bool = False) -> set[Piece]:
    """The runs of tokens of a text; of a whole one its end is a token, too."""
    tokens = [*text, _END] if whole else list(text)
    return {tuple(tokens[i : i + length]) for i in range(len(tokens) - length + 1)}


def _text(
    decode: Callable[[Sequence[int]], str], piece: Piece, answers: Sequence[Sequence[Sequence[int]]]
) -> str:
    """What most often follows from the piece on, with the piece."""
    head = [t for t in piece if t != _END]
    tails: Counter[tuple[int, ...]] = Counter()
    for each in answers:
        for answer in each:
            at = next((i for i in range(len(answer)) if list(answer[i : i + len(head)]) == head), None)
            if at is not None:
                tails[tuple(answer[at:])] += 1
    return decode(tails.most_common(1)[0][0]).strip()
