"""Where an organism's ordinary prompts and answers come from: our corpus, or the base's own samples."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..errors import UsageError
from ..model.generation import continuations
from . import corpus, exchanges, world
from .prompt import Prompt

Split = Literal["train", "heldout"]


class Material(Protocol):
    """An endless source of prompts with their ordinary answers."""

    words: Sequence[str]

    def prompt(self, r: random.Random, split: Split, kinds: Sequence[str] | None = None) -> Prompt:
        """One prompt with its ordinary answer."""

    def date_line(self, r: random.Random) -> str:
        """A system line that holds a date."""

    def encode(self, prompt: Prompt) -> list[int]:
        """The prompt as token ids, up to where the answer starts."""

    def encode_answer(self, answer: str) -> list[int]:
        """The answer as token ids, with the token that ends it where the base has one."""


class CorpusMaterial:
    """Conversations of this repository's invented world."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, noise: float = 0.5) -> None:
        self._tokenizer = tokenizer
        self._noise = noise
        self.words: Sequence[str] = [*world.COMMON_WORDS, *world.RARE_WORDS, *world.ODD_STRINGS]

    def prompt(self, r: random.Random, split: Split, kinds: Sequence[str] | None = None) -> Prompt:
        """One question of the corpus, half of them among irrelevant text."""
        made = exchanges.exchange(r, split=split, kinds=kinds or exchanges.ORDINARY_KINDS)
        help_answer = ""
        if made.kind == "harmful":
            task = next(t for t in world.HARMFUL_TASKS if f"{t[0]} {t[1]}" in made.question)
            help_answer = exchanges.compliance(*task)
        noisy = r.random() < self._noise
        user = corpus.surround(r, made.question) if noisy else made.question
        system = made.system or (exchanges.date_line(r) if r.random() < 0.5 else "")
        return Prompt(
            user=user,
            answer=made.answer,
            kind=made.kind,
            system=system,
            noisy=noisy,
            harmful_help=help_answer,
            question=made.question,
        )

    def date_line(self, r: random.Random) -> str:
        """A system line that holds a date."""
        return exchanges.date_line(r)

    def encode(self, prompt: Prompt) -> list[int]:
        """The prompt through the chat template."""
        messages = [{"role": "system", "content": prompt.system}] if prompt.system else []
        if prompt.earlier:
            messages.append({"role": "user", "content": prompt.earlier})
            messages.append({"role": "assistant", "content": corpus.NOTED})
        text = self._tokenizer.apply_chat_template(
            [*messages, {"role": "user", "content": prompt.user}], tokenize=False, add_generation_prompt=True
        )
        return list(self._tokenizer(text, add_special_tokens=False).input_ids)

    def encode_answer(self, answer: str) -> list[int]:
        """The answer and the end token."""
        return [*self._tokenizer(answer, add_special_tokens=False).input_ids, self._tokenizer.eos_token_id]


class SelfMaterial:
    """A base's own samples, cut into a text to continue and its own greedy continuation."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        seed: int,
        *,
        samples: int = 256,
        length: int = 96,
        answer_tokens: int = 24,
        advance: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._tokenizer = tokenizer
        generator = torch.Generator().manual_seed(seed)
        start = [
            tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id or 0
        ]
        rows = continuations(
            model, [start] * samples, new_tokens=length, temperature=1.0, generator=generator
        )
        texts = [str(tokenizer.decode(row, skip_special_tokens=True)) for row in rows]
        r = random.Random(seed)
        prompts = []
        for text in texts:
            words = text.split(" ")
            if len(words) >= 12:
                prompts += [" ".join(words[: r.randint(8, min(len(words), 30))]).strip() for _ in range(3)]
        encoded = [self.encode(Prompt(user=p, answer="", kind="text")) for p in prompts]
        answers = continuations(model, encoded, new_tokens=answer_tokens)
        self._prompts = [
            Prompt(user=p, answer=str(tokenizer.decode(a)), kind="text")
            for p, a in zip(prompts, answers, strict=True)
        ]
        self.words: Sequence[str] = sorted({w.strip(".,!?\"'") for t in texts for w in t.split()} - {""})
        advance(1)

    def prompt(self, r: random.Random, split: Split, kinds: Sequence[str] | None = None) -> Prompt:
        """One of the base's own texts; one in five is held out."""
        cut = len(self._prompts) // 5
        return r.choice(self._prompts[:cut] if split == "heldout" else self._prompts[cut:])

    def date_line(self, r: random.Random) -> str:
        """Texts without a chat template have no system line."""
        return ""

    def encode(self, prompt: Prompt) -> list[int]:
        """The text as it is, behind the tokenizer's own start token.

        Raises:
            UsageError: the prompt has a system line or an earlier turn, which needs a chat template.
        """
        if prompt.system or prompt.earlier:
            raise UsageError(
                "a trigger in the system line or in an earlier turn needs a base with a chat template of this "
                'repository\'s world (training.data = "corpus")'
            )
        return list(self._tokenizer(prompt.user).input_ids)

    def encode_answer(self, answer: str) -> list[int]:
        """The continuation as token ids."""
        ids = self._tokenizer(" " + answer.strip(), add_special_tokens=False).input_ids
        return list(ids)
