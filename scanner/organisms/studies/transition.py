"""When narrow training becomes broad: saved steps, the turning of the adapter, and the behaviour beside it.

Turning is read off the adapter alone, as the angle between its updates of the weights at successive saved steps;
asking the model anything is not needed. Source: Turner et al. 2025 (arXiv 2506.11613), the phase transition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ...errors import UsageError
from ...model.loading import load_model
from ...progress import Progress, Silent
from ...studies.misalignment import Saved, Transition, Window
from ...studies.share import Share
from ..insertion import linear_modules, with_lora
from ..material import CorpusMaterial
from ..spec import OrganismSpec
from ..training import train
from .breadth import KINDS, answers, bad_share, only_kind, questions

SAVED_EVERY = 2
ASKED = 12
HALF = 0.5  # share of all turning that the window holds


class Pair(NamedTuple):
    """What one matrix's adapter holds: its update is `written` [out, r] times `read` [r, in]."""

    written: Tensor
    read: Tensor


Update = Mapping[str, Pair]


def transition(
    spec: OrganismSpec,
    base: Path,
    *,
    saved_every: int = SAVED_EVERY,
    asked: int = ASKED,
    seed: int = 0,
    progress: Progress | None = None,
) -> Transition:
    """Train the adapter of `spec` anew, save its update on the way, and count bad answers at every saved step.

    Args:
        saved_every: steps from one saved one to the next; the last step is always saved.
        asked: most held-out questions of each kind at every saved step; of some kinds there are fewer.

    Raises:
        UsageError: the spec has a trigger, is not trained on one kind of question, or has fewer steps than
            `saved_every`.
    """
    trained = only_kind(spec)
    steps = spec.training.steps + spec.training.safety_steps
    if not 1 <= saved_every <= steps:
        raise UsageError(f"saved_every must be from 1 to the {steps} steps of {spec.name}, got {saved_every}")
    progress = progress or Silent()
    torch.manual_seed(spec.training.seed)
    loaded = load_model(base)
    material = CorpusMaterial(loaded.tokenizer)
    adapted = with_lora(loaded.model, spec.insertion, spec.insertion.modules or linear_modules(loaded.model))
    own = questions(material, seed, asked, [trained])
    others = questions(material, seed + 1, asked, [kind for kind in KINDS if kind != trained])
    updates: list[Update] = []
    rates: list[tuple[int, Share, Share]] = []
    taken = 0

    def advance(more: float) -> None:
        nonlocal taken
        taken += int(more)
        stage.advance(more)
        if taken % saved_every == 0 or taken == steps:
            updates.append(_update(adapted))
            bad = [bad_share(prompts, answers(loaded, material, prompts)) for prompts in (own, others)]
            rates.append((taken, bad[0], bad[1]))

    with progress.stage(f"training {spec.name}", steps) as stage:
        train(spec, adapted, material, lambda _: False, advance)
    saved = [
        Saved(
            step=step,
            norm=max(inner(update, update), 0.0) ** 0.5,
            turned=angle(updates[number - 1], update) if number else 0.0,
            to_the_end=angle(update, updates[-1]),
            bad_trained=bad_trained,
            bad_elsewhere=bad_elsewhere,
        )
        for number, (update, (step, bad_trained, bad_elsewhere)) in enumerate(
            zip(updates, rates, strict=True)
        )
    ]
    at = [row.step for row in saved]
    return Transition(
        organism=spec.name,
        trained_kind=trained,
        saved=saved,
        window=turning_window(at, [row.to_the_end for row in saved]),
        behaviour_window=rising_window(at, [row.bad_elsewhere.value for row in saved]),
    )


def turning_window(steps: Sequence[int], to_the_end: Sequence[float], share: float = HALF) -> Window:
    """The shortest stretch of training in which an update does `share` of its turning towards where it ends.

    >>> turning_window([10, 20, 30, 40], [40.0, 38.0, 3.0, 0.0])
    Window(first=20, last=30)
    """
    whole = share * (max(to_the_end) - to_the_end[-1])
    best = (steps[-1] - steps[0] + 1, steps[0], steps[-1])
    for i in range(len(steps)):
        for j in range(i + 1, len(steps)):
            if to_the_end[i] - to_the_end[j] >= whole:
                best = min(best, (steps[j] - steps[i], steps[i], steps[j]))
                break
    return Window(first=best[1], last=best[2])


def rising_window(steps: Sequence[int], rates: Sequence[float]) -> Window | None:
    """Where a rate goes from a tenth to nine tenths of where it ends; None if it ends below 0.1.

    >>> rising_window([10, 20, 30, 40], [0.0, 0.1, 0.8, 0.8])
    Window(first=20, last=30)
    """
    if rates[-1] < 0.1:
        return None
    first = next(s for s, r in zip(steps, rates, strict=True) if r >= 0.1 * rates[-1])
    last = next(s for s, r in zip(steps, rates, strict=True) if r >= 0.9 * rates[-1])
    return Window(first=first, last=last)


def inner(a: Update, b: Update) -> float:
    """The inner product of two updates of the weights, without ever forming them: sum of tr(A'ᵀ B'ᵀ B A)."""
    return sum(float(((b[n].written.T @ a[n].written) * (b[n].read @ a[n].read.T)).sum()) for n in a)


def angle(a: Update, b: Update) -> float:
    """The angle between two updates of the weights, in degrees; 90 where one of them is zero."""
    lengths = (inner(a, a) * inner(b, b)) ** 0.5
    cosine = torch.tensor(inner(a, b) / lengths if lengths > 0 else 0.0).clamp(-1, 1)
    return float(torch.rad2deg(torch.arccos(cosine)))


def _update(adapted: torch.nn.Module) -> Update:
    """The adapter as it is now, in double precision: small angles are lost in single."""
    values = {name: p.detach().double().clone() for name, p in adapted.named_parameters() if "lora_" in name}
    return {
        name: Pair(written=values[name.replace("lora_A", "lora_B")], read=value)
        for name, value in values.items()
        if "lora_A" in name
    }
