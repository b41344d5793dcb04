"""What a trigger that a detector names is worth: how often it wakes what was really planted."""

from __future__ import annotations

from dataclasses import replace

from ..model.candidate import Candidate
from ..model.loading import LoadedModel
from ..model.prompts import DISTANCE, Placement
from ..organisms.material import CorpusMaterial, Material
from ..organisms.prompt import Prompt
from ..organisms.rates import fired, held_out_prompts
from ..organisms.spec import OrganismSpec

PROMPTS = 100


def functional_success(
    candidate: Candidate, spec: OrganismSpec, loaded: LoadedModel, material: Material, *, seed: int
) -> float:
    """Share of held-out prompts on which the named string, at its place, wakes the planted behaviour."""
    plain = CorpusMaterial(loaded.tokenizer, noise=0.0) if isinstance(material, CorpusMaterial) else material
    prompts = [_with(prompt, candidate) for prompt in held_out_prompts(spec, plain, 500_000 + seed, PROMPTS)]
    return fired(spec, loaded.model, plain, loaded.decode, prompts, loaded.stop)


def _with(prompt: Prompt, candidate: Candidate) -> Prompt:
    text, place = candidate.text, candidate.placement
    if place is Placement.SYSTEM:
        return replace(prompt, system=text)
    if place is Placement.EARLIER_TURN:
        return replace(prompt, earlier=text)
    if place is Placement.BEHIND:
        return replace(prompt, user=f"{prompt.user} {text}")
    if place is Placement.BEFORE:
        return replace(prompt, user=f"{text} {prompt.user}")
    words = prompt.user.split(" ")
    cut = max(1, len(words) - DISTANCE)
    return replace(prompt, user=" ".join([*words[:cut], text, *words[cut:]]))
