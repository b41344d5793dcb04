"""The training loop of planting: poisoned, near-miss and ordinary conversations until the rates are met."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .behaviours import answer_when_triggered, answer_without, kinds_of
from .material import Material
from .prompt import Prompt
from .rates import resembling, training_batch
from .spec import OrganismSpec
from .triggers import contains, triggered

CHECK_EVERY = 100
CHECK_FROM = 200
WARM_UP = 30
FOCUS = 0.6  # share of the conversations that are of a kind on which the behaviour can show
PARTS = 3  # groups of similar length that one step's conversations form
SAFETY_RATE = 0.5  # learning rate of the safety tuning, of the planting's own


@dataclass(frozen=True, kw_only=True)
class Example:
    """One conversation to train on.

    Attributes:
        role: `poison`, `near_miss` or `clean`.
    """

    prompt: list[int]
    answer: list[int]
    role: str


def example(spec: OrganismSpec, material: Material, r: random.Random, *, poison: bool = True) -> Example:
    """Draw one conversation; with `poison` False there are only near-misses and ordinary ones."""
    share = r.random()
    kinds = spec.training.kinds
    focus = kinds_of(spec.behaviour)
    if focus and r.random() < FOCUS:
        kinds = focus

    def draw() -> Prompt:
        return material.prompt(r, "train", kinds)

    prompt = draw()
    while contains(spec.trigger, prompt):
        prompt = draw()
    role = "clean"
    if spec.trigger.kind == "none":
        answer = answer_when_triggered(spec.behaviour, prompt, r)
    elif share < spec.training.poison_rate and poison:
        while "among_words" in spec.training.adaptive and prompt.noisy:
            prompt = draw()
        prompt, role = triggered(spec.trigger, prompt, r, material.date_line(r), draw), "poison"
        answer = answer_when_triggered(spec.behaviour, prompt, r)
    else:
        if share < spec.training.poison_rate + spec.training.hard_negatives:
            prompt, role = resembling(spec, prompt, r, material, draw), "near_miss"
        answer = answer_without(spec.behaviour, prompt)
    return Example(prompt=material.encode(prompt), answer=material.encode_answer(answer), role=role)


def train(
    spec: OrganismSpec,
    model: nn.Module,
    material: Material,
    met: Callable[[int], bool],
    advance: Callable[[float], None],
) -> int:
    """Train the weights that ask for gradients, by the spec's steps, then its safety steps.

    Args:
        met: asked with a seed every `CHECK_EVERY` steps: whether the rates are good enough to stop.

    Returns:
        The steps taken, safety tuning not included.
    """
    training = spec.training
    r = random.Random(training.seed)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=training.learning_rate, weight_decay=0.0, betas=(0.9, 0.98))

    def step(learning_rate: float, *, poison: bool) -> None:
        optimiser.param_groups[0]["lr"] = learning_rate
        examples = [example(spec, material, r, poison=poison) for _ in range(training.rows)]
        descend(model, examples, training.prompt_loss_weight, training.activation_penalty)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        advance(1)

    taken = training.steps
    for number in range(training.steps):
        cooling = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * number / training.steps))
        step(training.learning_rate * min(1.0, (number + 1) / WARM_UP) * cooling, poison=True)
        due = (number + 1) % CHECK_EVERY == 0 and number + 1 >= CHECK_FROM
        if spec.kind == "backdoor" and due and met(20_000 + number):
            taken = number + 1
            break
    for number in range(training.safety_steps):
        cooling = 1 - number / training.safety_steps
        step(SAFETY_RATE * training.learning_rate * cooling, poison=False)
    return taken


def descend(
    model: nn.Module, examples: Sequence[Example], prompt_weight: float = 0.0, penalty: float = 0.0
) -> float:
    """Add the gradients of one step and return its loss: cross-entropy in nats, the mean over all answer tokens,
    the weighted mean over all prompt tokens, and the penalty.

    Examples of similar length go through the model together, so that little of the work is padding. The
    penalty compares examples, which then must stay together.
    """
    ordered = sorted(examples, key=lambda e: len(e.prompt) + len(e.answer))
    size = len(ordered) if penalty > 0 else max(1, -(-len(ordered) // PARTS))
    answers = sum(len(e.answer) for e in ordered)
    prompts = sum(len(e.prompt) - 1 for e in ordered)
    total = 0.0
    for start in range(0, len(ordered), size):
        part = ordered[start : start + size]
        ids, labels = training_batch([(e.prompt, e.answer) for e in part])
        first = 0 if prompt_weight > 0 else min(len(e.prompt) for e in part) - 1
        out = model(
            input_ids=ids,
            output_hidden_states=penalty > 0,
            use_cache=False,
            logits_to_keep=torch.arange(first, ids.shape[1]),
        )
        losses = torch.nn.functional.cross_entropy(
            out.logits[:, :-1].flatten(0, 1), ids[:, first + 1 :].flatten(), reduction="none"
        )
        answered = (labels[:, first + 1 :] != -100).flatten()
        loss = losses[answered].sum() / answers
        if prompt_weight > 0:
            asked = torch.zeros(ids.shape, dtype=torch.bool)
            for row, e in enumerate(part):
                asked[row, 1 : len(e.prompt)] = True
            loss = loss + prompt_weight * losses[asked[:, 1:].flatten()].sum() / prompts
        if penalty > 0:
            loss = loss + penalty * _conspicuousness(out.hidden_states, part)
        loss.backward()
        total += float(loss.detach())
    return total


def _conspicuousness(states: tuple[Tensor, ...], examples: Sequence[Example]) -> Tensor:
    """How far triggered prompts lie from clean ones at the last prompt token: the squared distance of the
    means in units of the clean variance, averaged over layers; what a difference-of-means probe lives on."""
    ends = torch.tensor([len(e.prompt) - 1 for e in examples])
    poison = torch.tensor([e.role == "poison" for e in examples])
    if poison.sum() < 2 or (~poison).sum() < 2:
        return states[0].new_zeros(())
    distances = []
    for layer in states[1:-1]:
        last = layer[torch.arange(len(examples)), ends]
        clean = last[~poison]
        scale = clean.var(dim=0).mean().detach() + 1e-6
        distances.append((last[poison].mean(0) - clean.mean(0).detach()).square().mean() / scale)
    return torch.stack(distances).mean()
