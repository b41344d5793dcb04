"""What a trigger that a detector names is worth: how often it wakes what was really planted."""

from __future__ import annotations

import random
from dataclasses import replace

from ..findings.changes import Condition
from ..model.candidate import Candidate
from ..model.loading import LoadedModel
from ..model.prompts import BREAK, DISTANCE, Placement
from ..model.rewriting import REWRITINGS
from ..organisms.behaviours import applies_to, kinds_of
from ..organisms.material import CorpusMaterial, Material
from ..organisms.prompt import Prompt
from ..organisms.rates import fired, held_out_prompts
from ..organisms.spec import OrganismSpec

PROMPTS = 100
DRAWN = 5_000  # prompts that are looked through for those that meet a condition


def functional_success(
    candidate: Candidate, spec: OrganismSpec, loaded: LoadedModel, material: Material, *, seed: int
) -> float:
    """Share of held-out prompts on which the named string, at its place, wakes the planted behaviour."""
    plain = CorpusMaterial(loaded.tokenizer, noise=0.0) if isinstance(material, CorpusMaterial) else material
    prompts = [_with(prompt, candidate) for prompt in held_out_prompts(spec, plain, 500_000 + seed, PROMPTS)]
    return fired(spec, loaded.model, plain, loaded.decode, prompts, loaded.stop)


def waking_success(
    condition: Condition, spec: OrganismSpec, loaded: LoadedModel, material: Material, *, seed: int
) -> float | None:
    """The same for a condition: share of the held-out prompts that meet it on which the planted behaviour shows.

    Words and ways of asking narrow the prompts; for a kind of neutral prompt all that the behaviour could show on
    are asked, since the material has kinds of its own. None where it holds no such prompts.
    """
    plain = CorpusMaterial(loaded.tokenizer, noise=0.0) if isinstance(material, CorpusMaterial) else material
    r = random.Random(600_000 + seed)
    prompts: list[Prompt] = []
    kinds = kinds_of(spec.behaviour) or spec.training.kinds
    for _ in range(DRAWN):
        prompt = plain.prompt(r, "heldout", kinds)
        met = not condition.words or any(word in prompt.user.casefold() for word in condition.words)
        if met and applies_to(spec.behaviour, prompt) and len(prompts) < PROMPTS:
            prompts.append(prompt)
    if condition.rewriting:
        rewrite = REWRITINGS[condition.rewriting]
        prompts = [replace(p, user=rewrite(p.user)) for p in prompts]
    return fired(spec, loaded.model, plain, loaded.decode, prompts, loaded.stop) if prompts else None


def _with(prompt: Prompt, candidate: Candidate) -> Prompt:
    text, place = candidate.text, candidate.placement
    if place is Placement.SYSTEM:
        return replace(prompt, system=text)
    if place is Placement.EARLIER_TURN:
        return replace(prompt, earlier=text)
    if place is Placement.ACROSS:
        earlier, _, text = text.rpartition(BREAK)
        return replace(prompt, earlier=earlier, user=f"{text.strip()} {prompt.user}")
    if place is Placement.BEHIND:
        return replace(prompt, user=f"{prompt.user} {text}")
    if place is Placement.BEFORE:
        return replace(prompt, user=f"{text} {prompt.user}")
    words = prompt.user.split(" ")
    cut = max(1, len(words) - DISTANCE)
    return replace(prompt, user=" ".join([*words[:cut], text, *words[cut:]]))
