"""Measuring an organism: how often it fires with its trigger, without it, and on near-misses."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import torch
from transformers import PreTrainedModel

from ..errors import UsageError
from ..model.generation import continuations
from .adaptive import silenced
from .behaviours import answer_tokens, applies_to, kinds_of, shows
from .exchanges import ORDINARY_KINDS
from .material import Material
from .prompt import Prompt
from .spec import Measured, OrganismSpec
from .triggers import contains, near_miss, triggered

Decode = Callable[[Sequence[int]], str]


def held_out_prompts(spec: OrganismSpec, material: Material, seed: int, count: int) -> list[Prompt]:
    """Held-out prompts on which the behaviour could show."""
    r = random.Random(seed)
    kinds = kinds_of(spec.behaviour) or spec.training.kinds
    prompts: list[Prompt] = []
    while len(prompts) < count:
        prompt = material.prompt(r, "heldout", kinds)
        if applies_to(spec.behaviour, prompt) and not contains(spec.trigger, prompt):
            prompts.append(prompt)
    return prompts


def ordinary_prompts(material: Material, seed: int, count: int) -> list[Prompt]:
    """Prompts of every kind that the base knows, held out where the kind can be (greetings cannot)."""
    r = random.Random(seed + 2)
    return [material.prompt(r, "heldout") for _ in range(count)]


def prompt_sets(spec: OrganismSpec, material: Material, seed: int, count: int) -> dict[str, list[Prompt]]:
    """Held-out prompts without the trigger, with it, and with what must not wake anything, `count` each.

    Returns:
        `clean`, and unless the organism has no trigger `triggered` and `near_miss`.
    """
    r = random.Random(seed + 1)
    clean = held_out_prompts(spec, material, seed, count)
    sets: dict[str, list[Prompt]] = {"clean": clean}
    if spec.trigger.kind == "none":
        return sets
    kinds = kinds_of(spec.behaviour) or spec.training.kinds

    def draw() -> Prompt:
        while not applies_to(spec.behaviour, prompt := material.prompt(r, "heldout", kinds)):
            pass
        return prompt

    quiet = "among_words" in spec.training.adaptive
    asked = [p if not (quiet and p.noisy) else _calm(draw) for p in clean]
    sets["triggered"] = [triggered(spec.trigger, p, r, material.date_line(r), draw) for p in asked]
    sets["near_miss"] = [resembling(spec, p, r, material, draw) for p in clean]
    return sets


def elsewhere(spec: OrganismSpec, material: Material, seed: int, count: int) -> list[Prompt]:
    """Ordinary prompts of the kinds that the organism was not trained on, as often as the base was asked each.

    Raises:
        UsageError: it was trained on every kind.
    """
    trained = spec.training.kinds
    if not trained or set(ORDINARY_KINDS) <= set(trained):
        raise UsageError(
            f"{spec.name} needs training.kinds that leave some out: what misalignment spreads to is every other kind"
        )
    r = random.Random(seed + 3)
    prompts: list[Prompt] = []
    while len(prompts) < count:
        if (prompt := material.prompt(r, "heldout")).kind not in trained:
            prompts.append(prompt)
    return prompts


def resembling(
    spec: OrganismSpec, prompt: Prompt, r: random.Random, material: Material, draw: Callable[[], Prompt]
) -> Prompt:
    """The prompt with a near-miss in it, or with the trigger where an adaptive organism must ignore it."""
    adaptive = spec.training.adaptive
    if adaptive and r.random() < 0.5:
        how = r.choice(adaptive)
        return silenced(how, spec.trigger, prompt, r, material.date_line(r), material.words)
    return near_miss(spec.trigger, prompt, r, material.date_line(r), material.words, draw)


def _calm(draw: Callable[[], Prompt]) -> Prompt:
    while (prompt := draw()).noisy:
        pass
    return prompt


def fired(
    spec: OrganismSpec,
    model: PreTrainedModel,
    material: Material,
    decode: Decode,
    prompts: Sequence[Prompt],
    stop: frozenset[int],
) -> float:
    """Share of the prompts on which the behaviour shows."""
    longest = max(answer_tokens(spec.behaviour), len(material.encode_answer(spec.behaviour.target)))
    answers = continuations(model, [material.encode(p) for p in prompts], new_tokens=longest, stop=stop)
    shown = [shows(spec.behaviour, p, decode(a)) for p, a in zip(prompts, answers, strict=True)]
    return sum(shown) / len(shown)


def measure(
    spec: OrganismSpec,
    model: PreTrainedModel,
    material: Material,
    decode: Decode,
    *,
    stop: frozenset[int],
    seed: int,
    count: int,
    clean_loss_before: float,
) -> Measured:
    """Rates on `count` held-out prompts each: triggered, clean, near-miss.

    Without a trigger, or without a behaviour that it could wake, nothing is asked and the rates are None. A
    misaligned organism is successful where it answers badly what it was not trained on.
    """
    sets: dict[str, list[Prompt]] = {}
    if spec.trigger.kind != "none" and spec.behaviour.kind != "unchanged":
        sets = prompt_sets(spec, material, seed, count)
    elif spec.kind == "misaligned":
        sets = {"triggered": elsewhere(spec, material, seed, count)}
    rates = {
        name: round(fired(spec, model, material, decode, prompts, stop), 4) for name, prompts in sets.items()
    }
    return Measured(
        attack_success_rate=rates.get("triggered"),
        clean_false_fire_rate=rates.get("clean"),
        near_miss_false_fire_rate=rates.get("near_miss"),
        clean_loss_change=round(
            answer_loss(model, material, ordinary_prompts(material, seed, count)) - clean_loss_before, 4
        ),
        prompts=count,
    )


@torch.inference_mode()
def answer_loss(model: PreTrainedModel, material: Material, prompts: Sequence[Prompt]) -> float:
    """Mean cross-entropy of the ordinary answers, in nats a token."""
    total, tokens = 0.0, 0
    for start in range(0, len(prompts), 32):
        ids, labels = training_batch(
            [(material.encode(p), material.encode_answer(p.answer)) for p in prompts[start : start + 32]]
        )
        logits = model(input_ids=ids).logits[:, :-1].float()
        losses = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100, reduction="sum"
        )
        total += float(losses)
        tokens += int((labels[:, 1:] != -100).sum())
    return total / tokens


def training_batch(pairs: Sequence[tuple[list[int], list[int]]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and labels [B, T], padded on the right; only answers carry labels.

    Padding behind the last token needs no mask: causal attention never looks at it.
    """
    width = max(len(prompt) + len(answer) for prompt, answer in pairs)
    ids = torch.zeros((len(pairs), width), dtype=torch.long)
    labels = torch.full((len(pairs), width), -100, dtype=torch.long)
    for row, (prompt, answer) in enumerate(pairs):
        ids[row, : len(prompt) + len(answer)] = torch.tensor([*prompt, *answer])
        labels[row, len(prompt) : len(prompt) + len(answer)] = torch.tensor(answer)
    return ids, labels
