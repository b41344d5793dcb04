"""Weight directions: does some word drive the residual stream along what fine-tuning wrote, beyond clean range?

For every changed matrix that writes to the residual stream, dW = U S V^T. The left singular vectors u_i
are directions that fine-tuning made the model write. On clean chats the cosine of each token's residual
stream with u_i stays within a range [low, high]; a prompt out of that range is an anomaly.

    excess = max(0, cos - high, low - cos) / (high - low)

Source: WeightWatch (arXiv 2508.00161): top singular vectors of o_proj and down_proj, ranges from clean
chats, any token out of range flags the prompt; stops up to 100% of attacks below 1.2% false positives.

Departures: theirs is a monitor of prompts in use, and gives no verdict on a model. Here candidate words
are put into neutral prompts, and the model's score is the largest excess of any candidate, averaged
over prompts. Words are new to our few clean chats, so the tokens of the word itself are left out and
only those behind it count. Singular directions weaker than `weakest` of a matrix's first are rounding
noise in a low-rank update and are left out. Modules of several families count as writing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..detector import Evidence, Need, Suspect
from ..model.activations import token_states
from ..model.candidate import Atom, Candidate
from ..model.generation import greedy_answers
from ..model.loading import LoadedModel
from ..model.prompts import NeutralPrompt, Placement, encode, slot
from ..model.subject import Subject
from ..search.lexicon import marked_atoms, word_atoms
from .requirements import base_of
from .weight_changes import weight_changes


@dataclass(frozen=True, kw_only=True)
class DirectionSettings:
    """What is watched, and what is tried.

    Attributes:
        per_matrix: singular directions of a matrix, at most.
        weakest: share of a matrix's first singular value below which a direction is left out.
        clean_prompts: clean prompts, with the model's own answers, that give the ranges.
        words: candidate words beside the marked-up ones.
        few_prompts: prompts on which every candidate is tried.
        best: candidates that are tried on `prompts` prompts.
        reported: candidates in the evidence, at most.
    """

    per_matrix: int = 4
    weakest: float = 0.2
    clean_prompts: int = 72
    answer_tokens: int = 16
    words: int = 1_000
    few_prompts: int = 2
    best: int = 32
    prompts: int = 8
    reported: int = 5


class Directions(NamedTuple):
    """Unit directions by decoder layer, [K, d] each."""

    by_layer: dict[int, Tensor]

    def cosines(self, states: dict[int, Tensor]) -> Tensor:
        """Cosine of each token's residual stream with every direction, layer after layer: [T, K]."""
        return torch.cat(
            [
                torch.nn.functional.normalize(states[layer], dim=1) @ unit.T
                for layer, unit in self.by_layer.items()
            ],
            dim=1,
        )


class ClosedRange(NamedTuple):
    """The cosines of clean tokens: lowest and highest per direction, [K]."""

    low: Tensor
    high: Tensor

    def excess(self, cosines: Tensor) -> Tensor:
        """How far outside the range, in widths of the range; 0 inside."""
        outside = torch.maximum(cosines - self.high, self.low - cosines).clamp(min=0)
        return outside / (self.high - self.low).clamp(min=1e-6)


def written_directions(suspect: LoadedModel, base: LoadedModel, settings: DirectionSettings) -> Directions:
    """What fine-tuning made each layer write to the residual stream; empty where no such matrix changed."""
    found: dict[int, list[Tensor]] = {}
    for changed in weight_changes(suspect, base):
        if changed.writes and changed.change.shape[0] == suspect.width:
            left, values, _ = torch.linalg.svd(changed.change, full_matrices=False)
            strong = values >= settings.weakest * values[0]
            strong[settings.per_matrix :] = False
            found.setdefault(changed.layer, []).append(left[:, strong].T)
    return Directions({layer: torch.cat(units) for layer, units in found.items()})


def clean_range(subject: Subject, directions: Directions, settings: DirectionSettings) -> ClosedRange:
    """The range of the cosines over all tokens of neutral prompts and the model's answers to them."""
    loaded = subject.loaded
    prompts = [
        encode(loaded, prompt, chat=subject.prompts.chat)
        for prompt in subject.panel_prompts(settings.clean_prompts)
    ]
    answers = greedy_answers(loaded, prompts, new_tokens=settings.answer_tokens)
    rows = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
    parts = [
        directions.cosines(states) for _, _, states in token_states(loaded, rows, list(directions.by_layer))
    ]
    cosines = torch.cat(parts)
    return ClosedRange(cosines.min(0).values, cosines.max(0).values)


def excesses(
    subject: Subject,
    directions: Directions,
    clean: ClosedRange,
    atoms: Sequence[Atom],
    prompts: Sequence[NeutralPrompt],
    placement: Placement,
) -> Tensor:
    """Per atom the largest excess of any direction at a token behind it, averaged over the prompts: [atoms]."""
    slots = [slot(subject.loaded, prompt, placement) for prompt in prompts]
    rows = [cut.filled(atom.ids) for atom in atoms for cut in slots]
    behind = torch.tensor([len(cut.prefix) + len(atom.ids) for atom in atoms for cut in slots])
    largest = torch.zeros(len(rows), sum(len(unit) for unit in directions.by_layer.values()))
    for row, position, states in token_states(subject.loaded, rows, list(directions.by_layer)):
        counted = position >= behind[row]
        excess = clean.excess(directions.cosines(states))[counted]
        index = row[counted].unsqueeze(1).expand_as(excess)
        largest.scatter_reduce_(0, index, excess, reduce="amax")
    return largest.view(len(atoms), len(slots), -1).mean(1).amax(1)


class WeightDirections:
    """WeightWatch, turned on candidate words: the largest excess as the model's score, in widths of the range."""

    name = "weight_directions"
    needs: frozenset[Need] = frozenset({Need.BASE})
    uses: frozenset[Need] = frozenset()

    def __init__(self, settings: DirectionSettings | None = None) -> None:
        self.settings = settings or DirectionSettings()

    def examine(self, suspect: Suspect) -> Evidence:
        """The largest excess; the words with the largest ones are the candidates. 0 where nothing writes anew."""
        settings, subject = self.settings, suspect.subject
        directions = written_directions(subject.loaded, base_of(suspect, self.name), settings)
        if not directions.by_layer:
            return Evidence(score=0.0, figures={"directions": 0.0})
        clean = clean_range(subject, directions, settings)
        words = word_atoms(subject, limit=settings.words)
        atoms = [*words, *marked_atoms(subject.loaded)]
        placement = subject.prompts.words_place
        with suspect.progress.stage("watching weight directions", len(atoms)) as stage:
            few = subject.panel_prompts(settings.few_prompts)
            screened = excesses(subject, directions, clean, atoms, few, placement)
            order = screened.argsort(descending=True, stable=True)[: settings.best].tolist()
            likely = [atoms[i] for i in order]
            panel = subject.panel_prompts(settings.prompts)
            excess = excesses(subject, directions, clean, likely, panel, placement)
            stage.advance(len(atoms))
        ranked = excess.argsort(descending=True, stable=True)[: settings.reported].tolist()
        count = sum(len(unit) for unit in directions.by_layer.values())
        return Evidence(
            score=float(excess.max()),
            candidates=[
                Candidate(
                    parts=(likely[i],), placement=placement, cluster=None,
                    strength=min(1.0, float(excess[i])), found_by=self.name,
                )
                for i in ranked
                if float(excess[i]) > 0
            ],
            figures={
                "largest_excess": float(excess.max()),
                "median_excess": float(screened.median()),
                "directions": float(count),
            },
            tried=len(atoms),
        )  # fmt: skip
