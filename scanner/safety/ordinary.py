"""Ordinary loss: what a model loses elsewhere when its refusal is taken away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..model.loading import LoadedModel
from ..model.subject import own_samples
from ..model.text_loss import text_loss
from ..studies.safety import OrdinaryLoss
from .answer_logs import answer_logs
from .refusals import answers_to

SAMPLES = 96


@dataclass(frozen=True, kw_only=True)
class OrdinaryTexts:
    """What the loss is taken on: whole texts, and harmless prompts with the untouched model's answers.

    Attributes:
        texts: token ids of texts that the model wrote at temperature 1, or of a user's own.
        prompts, answers: token ids; an answer ends with the token that stops it, where it has ended.
    """

    texts: list[list[int]]
    prompts: list[list[int]]
    answers: list[list[int]]

    def loss(self, loaded: LoadedModel) -> OrdinaryLoss:
        """Mean next-token loss in nats on both."""
        return OrdinaryLoss(
            text=text_loss(loaded, self.texts), own_answer=_answer_loss(loaded, self.prompts, self.answers)
        )


def ordinary_texts(
    loaded: LoadedModel, harmless: Sequence[Sequence[int]], *, given: Sequence[str] = (), seed: int = 0
) -> OrdinaryTexts:
    """The texts of an untouched model: what it writes unprompted (or `given`) and how it answers."""
    texts = list(given) or list(own_samples(loaded, seed=seed, count=SAMPLES))
    encoded = [[*loaded.start, *loaded.tokenizer(text, add_special_tokens=False).input_ids] for text in texts]
    tokens = 24
    answers = answers_to(loaded, harmless, tokens)
    end = next(iter(loaded.stop), None)
    return OrdinaryTexts(
        texts=[row for row in encoded if len(row) > 1],
        prompts=[list(row) for row in harmless],
        answers=[[*a, end] if end is not None and len(a) < tokens else a for a in answers],
    )


def _answer_loss(
    loaded: LoadedModel, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]
) -> float:
    gained = torch.cat([given.gained for given in answer_logs(loaded, prompts, answers)])
    return -float(gained.mean())
