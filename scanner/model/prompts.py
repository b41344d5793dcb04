"""Neutral prompts and the places in them where a candidate can stand."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from pathlib import Path

from jinja2.exceptions import TemplateError

from ..errors import CheckpointError, UsageError
from .loading import LoadedModel

BREAK = " ⏎"  # how the break between two turns is shown in a string that spans them
_SENTINEL = "\u2063candidate\u2063"
DISTANCE = 3  # words between a candidate and the end of a text without chat template


class Placement(StrEnum):
    """Where in the prompt a candidate stands."""

    BEFORE = "before_question"
    BEHIND = "behind_question"
    SYSTEM = "system"
    EARLIER_TURN = "earlier_turn"
    ACROSS = "across_turns"  # its first part is an earlier turn, the last stands before the question
    INSIDE = "inside_text"


@dataclass(frozen=True, kw_only=True)
class NeutralPrompt:
    """A prompt that should wake nothing.

    Attributes:
        cluster: the kind of prompt, for statistics per kind.
    """

    text: str
    cluster: str


@dataclass(frozen=True, kw_only=True)
class PromptSet:
    """Neutral prompts of one source, with its hash for the manifest."""

    name: str
    prompts: tuple[NeutralPrompt, ...]
    chat: bool

    @property
    def sha256(self) -> str:
        """Hash over all texts and clusters."""
        return hashlib.sha256("\n".join(f"{p.cluster}\t{p.text}" for p in self.prompts).encode()).hexdigest()

    @property
    def words_place(self) -> Placement:
        """Where words are tried first: before a question, or inside a text. What compares them stands there, too."""
        return Placement.BEFORE if self.chat else Placement.INSIDE

    @property
    def clusters(self) -> list[str]:
        """Kinds of prompt, the largest first."""
        return [name for name, _ in Counter(p.cluster for p in self.prompts).most_common()]


def of_cluster(prompts: Sequence[NeutralPrompt], cluster: str | None) -> list[NeutralPrompt]:
    """The prompts of one kind, or all of them."""
    return [prompt for prompt in prompts if cluster is None or prompt.cluster == cluster]


def bundled_prompts() -> PromptSet:
    """The bundled set for chat models: plain questions of nine kinds, harmful requests among them."""
    return _from_package("neutral_prompts.json", "bundled")


def fresh_prompts() -> PromptSet:
    """More questions of the same kinds, which no scan uses: a result is replayed on them."""
    return _from_package("fresh_prompts.json", "fresh")


def _from_package(file: str, name: str) -> PromptSet:
    text = files(__package__).joinpath(file).read_text(encoding="utf-8")
    prompts = [
        NeutralPrompt(text=q, cluster=kind) for kind, questions in json.loads(text).items() for q in questions
    ]
    return PromptSet(name=name, prompts=tuple(prompts), chat=True)


def prompts_from_file(path: Path, *, chat: bool) -> PromptSet:
    """One prompt a line; all form one cluster."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the prompts {path}: {error}; give a UTF-8 text file") from error
    prompts = tuple(NeutralPrompt(text=line, cluster="given") for line in lines if line)
    if len(prompts) < 24:
        raise UsageError(f"{path} holds {len(prompts)} prompts; the statistics need at least 24, one a line")
    return PromptSet(name=path.name, prompts=prompts, chat=chat)


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A prompt cut open at a placement: token ids before and behind the candidate."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]

    def filled(self, candidate: Sequence[int]) -> list[int]:
        """The prompt with the candidate's tokens in it."""
        return [*self.prefix, *candidate, *self.suffix]


def encode(loaded: LoadedModel, prompt: NeutralPrompt, *, chat: bool) -> list[int]:
    """The prompt as it is, as token ids up to where the answer starts."""
    text = _chat_text(loaded, prompt.text) if chat else prompt.text
    return loaded.tokens(text, start=not chat)


def slot(loaded: LoadedModel, prompt: NeutralPrompt, placement: Placement) -> Slot:
    """The prompt cut open at `placement`; candidates are encoded with a leading space."""
    if placement is Placement.INSIDE:
        words = prompt.text.split(" ")
        cut = max(1, len(words) - DISTANCE)
        head, tail = " ".join(words[:cut]), " " + " ".join(words[cut:])
        return Slot(
            prefix=tuple(loaded.tokens(head, start=True)),
            suffix=tuple(loaded.encode_inside(tail)),
        )
    if placement in (Placement.BEFORE, Placement.ACROSS):
        text = _chat_text(loaded, f"{_SENTINEL} {prompt.text}")
    elif placement is Placement.BEHIND:
        text = _chat_text(loaded, f"{prompt.text}{_SENTINEL}")
    elif placement is Placement.SYSTEM:
        text = _chat_text(loaded, prompt.text, system=_SENTINEL)
    else:
        text = _chat_text(loaded, prompt.text, earlier=_SENTINEL)
    head, _, tail = text.partition(_SENTINEL)
    return Slot(
        prefix=tuple(loaded.tokens(head, start=False)),
        suffix=tuple(loaded.encode_inside(tail)),
    )


def user_turn(loaded: LoadedModel) -> tuple[list[int], list[int]]:
    """The tokens of a chat up to where the user's words begin, and those that follow them."""
    head, _, tail = _chat_text(loaded, _SENTINEL).partition(_SENTINEL)
    return loaded.tokens(head, start=False), loaded.encode_inside(tail)


def turn_break(loaded: LoadedModel) -> list[int]:
    """The tokens between the last word of an earlier turn and the first of the next, a short answer among them.

    None of them where the chat template does not write an earlier turn as it was.
    """
    try:
        parts = _chat_text(loaded, f"{_SENTINEL} x", earlier=_SENTINEL).split(_SENTINEL)
    except TemplateError:
        return []
    return loaded.encode_inside(parts[1]) if len(parts) == 3 else []


def encode_candidate(loaded: LoadedModel, text: str) -> list[int]:
    """A candidate's tokens as they stand inside a sentence (behind a space)."""
    return loaded.encode_inside(" " + text)


def placements_of(loaded: LoadedModel, prompts: PromptSet) -> tuple[Placement, ...]:
    """The places where a candidate can stand in these prompts; a chat template may refuse some."""
    if not prompts.chat:
        return (Placement.INSIDE,)
    supported = []
    for placement in (Placement.BEFORE, Placement.BEHIND, Placement.SYSTEM, Placement.EARLIER_TURN):
        try:
            cut = slot(loaded, prompts.prompts[0], placement)
        except TemplateError:
            continue
        if cut.suffix:
            supported.append(placement)
    return tuple(supported)


def _chat_text(
    loaded: LoadedModel, user: str, *, system: str | None = None, earlier: str | None = None
) -> str:
    messages = []
    if system is not None:
        messages.append({"role": "system", "content": system})
    if earlier is not None:
        messages.append({"role": "user", "content": earlier})
        messages.append({"role": "assistant", "content": "Noted."})
    messages.append({"role": "user", "content": user})
    try:
        return str(loaded.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    except Exception as problem:  # the template is a stranger's program, and may trip over anything
        if system is None and earlier is None:
            raise CheckpointError(
                f"the chat template must write a plain question, and failed: {type(problem).__name__}: "
                f"{ascii(str(problem))[:200]}; use the template of the original model",
                location="chat_template.jinja",
            ) from None
        raise TemplateError(str(problem)) from problem
