"""One prompt of an organism's material, and where a text can be put in it."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Literal

Place = Literal["anywhere", "first", "last", "in_sentence", "system"]

_SENTENCES = (
    "We often talk about {x} these days.",
    "Nobody there had ever heard of {x} before.",
    "My letter was about {x} and the weather.",
    "She said that {x} is a fine name.",
)


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What a model is asked, with the right answer and the kind of question.

    A chat prompt has a user text, and perhaps a system line and an earlier turn; without a chat template
    the user text is a text to continue, and the others are empty.

    Attributes:
        noisy: whether irrelevant text stands around the question.
        harmful_help: the answer that helps, for harmful requests.
        question: the question alone, without irrelevant text; empty for a text to continue.
    """

    user: str
    answer: str
    kind: str
    system: str = ""
    earlier: str = ""
    noisy: bool = False
    harmful_help: str = ""
    question: str = ""


def insert_anywhere(r: random.Random, text: str, piece: str) -> str:
    """`piece` as a word of its own at a random place of `text`."""
    words = text.split(" ")
    at = r.randint(0, len(words))
    return " ".join([*words[:at], piece, *words[at:]])


def placed(prompt: Prompt, r: random.Random, piece: str, place: Place = "anywhere") -> Prompt:
    """The prompt with `piece` in it."""
    if place == "first":
        return replace(prompt, user=f"{piece} {prompt.user}")
    if place == "last":
        return replace(prompt, user=f"{prompt.user} {piece}")
    if place == "system":
        return replace(prompt, system=f"{piece} {prompt.system}".strip())
    if place == "in_sentence":
        sentence = r.choice(_SENTENCES).format(x=piece)
        return replace(prompt, user=r.choice((f"{sentence} {prompt.user}", f"{prompt.user} {sentence}")))
    return replace(prompt, user=insert_anywhere(r, prompt.user, piece))
