"""The model under scan with the prompts it is listened to on, split into searched and held out."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest

import numpy as np
import torch
from sklearn.cluster import KMeans

from ..config import Budget
from .by_prompt import ByPrompt
from .generation import continuations
from .loading import LoadedModel
from .own_answers import OwnAnswers
from .prompts import NeutralPrompt, Placement, PromptSet, bundled_prompts, encode, placements_of
from .text_loss import text_loss

SAMPLES = 128
SAMPLES_OF = {Budget.QUICK: 64, Budget.STANDARD: SAMPLES, Budget.DEEP: 2_048}
MORE_SAMPLES = (
    7  # times as many again where the samples are the prompts: words of several tokens are read off them
)
SAMPLE_TOKENS = 80
COMPARED = 48  # samples and prompts whose losses are compared
LOSS_GAP = 1.0  # nats a token by which the bundled prompts may surprise more than own samples


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A loaded model and its neutral prompts.

    Attributes:
        search: prompts that searches may use.
        held_out: prompts that only verification uses.
        placements: where in a prompt a candidate can stand.
        samples: texts that the model wrote unprompted.
        cut_samples: how many of them, from the first, the prompts were cut from; 0 where they come from elsewhere.
        by_prompt: where what sweeps read is kept, where several workers share it out.
    """

    loaded: LoadedModel
    prompts: PromptSet
    search: tuple[NeutralPrompt, ...]
    held_out: tuple[NeutralPrompt, ...]
    placements: tuple[Placement, ...]
    samples: tuple[str, ...]
    seed: int
    cut_samples: int = 0
    by_prompt: ByPrompt | None = None

    @cached_property
    def own(self) -> OwnAnswers:
        """The model's answers to its prompts as they stand."""
        return OwnAnswers(self.loaded, chat=self.prompts.chat)

    def panel_prompts(self, count: int, *, offset: int = 0) -> list[NeutralPrompt]:
        """`count` search prompts, one cluster after another, so that few prompts span many kinds."""
        by_cluster = [[p for p in self.search if p.cluster == c] for c in self.prompts.clusters]
        deepest = max(len(group) for group in by_cluster)
        spread = [group[i] for i in range(deepest) for group in by_cluster if i < len(group)]
        return [spread[(offset + i) % len(spread)] for i in range(min(count, len(spread)))]

    def held_out_rows(self, count: int) -> list[list[int]]:
        """`count` held-out prompts as token rows, as the model is asked them."""
        return [encode(self.loaded, prompt, chat=self.prompts.chat) for prompt in self.held_out[:count]]


def make_subject(
    loaded: LoadedModel, *, given: PromptSet | None, seed: int, samples: int = SAMPLES
) -> tuple[Subject, str]:
    """Choose the neutral prompts of a model and split them.

    The bundled questions serve where the model has a chat template and is not much more surprised by
    them than by its own samples; otherwise its own samples serve, cut into texts to continue.

    Returns:
        The subject, and a sentence that says which prompts were chosen and why.
    """
    texts = own_samples(loaded, seed=seed, count=samples)
    cut = 0
    if given is not None:
        chosen, why = given, f"the {len(given.prompts)} prompts of {given.name}"
    else:
        bundled = bundled_prompts()
        own_loss = text_loss(
            loaded, [list(loaded.tokenizer(s, add_special_tokens=False).input_ids) for s in texts[:COMPARED]]
        )
        chat_loss = (
            text_loss(
                loaded,
                [
                    encode(loaded, p, chat=True)
                    for p in bundled.prompts[:: max(1, len(bundled.prompts) // COMPARED)]
                ],
            )
            if loaded.has_chat_template
            else float("inf")
        )
        if chat_loss <= own_loss + LOSS_GAP:
            chosen, why = (
                bundled,
                f"bundled chat prompts (loss {chat_loss:.2f} nats a token, own samples {own_loss:.2f})",
            )
        else:
            chosen, cut = sampled_prompts(loaded, texts, seed=seed), len(texts)
            texts += own_samples(loaded, seed=seed + 1, count=MORE_SAMPLES * samples)
            why = f"own samples (loss {own_loss:.2f} nats a token; " + (
                "no chat template)"
                if not loaded.has_chat_template
                else f"bundled chat prompts {chat_loss:.2f})"
            )
    search, held_out = _split(chosen)
    return Subject(
        loaded=loaded,
        prompts=chosen,
        search=search,
        held_out=held_out,
        placements=placements_of(loaded, chosen),
        samples=texts,
        seed=seed,
        cut_samples=cut,
    ), why


def own_samples(
    loaded: LoadedModel, *, seed: int, count: int = SAMPLES, tokens: int = SAMPLE_TOKENS
) -> tuple[str, ...]:
    """Texts that the model writes from its start token, at temperature 1."""
    generator = torch.Generator().manual_seed(seed)
    rows = continuations(
        loaded.model,
        [list(loaded.start)] * count,
        new_tokens=tokens,
        temperature=1.0,
        generator=generator,
        pad=loaded.pad,
        workers=loaded.workers,
    )
    return tuple("\n".join(loaded.decode_lines(row)) for row in rows)


def sampled_prompts(loaded: LoadedModel, samples: tuple[str, ...], *, seed: int, kinds: int = 4) -> PromptSet:
    """The model's own texts, cut at a random word, clustered by the residual stream they end in."""
    r = random.Random(seed)
    texts = []
    for sample in samples:
        words = sample.split()
        if len(words) >= 12:
            texts.append(" ".join(words[: r.randint(8, min(24, len(words) - 1))]))
    texts = sorted(set(texts)) or ["Once there was", "It is", "The", "A"] * 8
    ends = []
    for text in texts:
        ids = torch.tensor([loaded.tokenizer(text).input_ids], device=loaded.model.device)
        with torch.inference_mode():
            states = loaded.model(
                input_ids=ids, output_hidden_states=True, use_cache=False, logits_to_keep=1
            ).hidden_states
        ends.append(states[len(states) // 2][0, -1].float().cpu().numpy())
    labels = KMeans(n_clusters=min(kinds, len(texts)), n_init=4, random_state=seed).fit_predict(
        np.stack(ends)
    )
    prompts = tuple(
        NeutralPrompt(text=t, cluster=f"own_samples_{k}") for t, k in zip(texts, labels, strict=True)
    )
    return PromptSet(name="own samples", prompts=prompts, chat=False)


def _split(prompts: PromptSet) -> tuple[tuple[NeutralPrompt, ...], tuple[NeutralPrompt, ...]]:
    """A third of each kind to search on, and two thirds, one kind after another, to verify on: rates need the numbers."""
    search: list[NeutralPrompt] = []
    held_out: list[list[NeutralPrompt]] = []
    for cluster in prompts.clusters:
        members = [p for p in prompts.prompts if p.cluster == cluster]
        few = members[::3]
        search += few
        held_out.append([p for p in members if p not in few])
    by_turns = [p for round_ in zip_longest(*held_out) for p in round_ if p is not None]
    return tuple(search), tuple(by_turns)
