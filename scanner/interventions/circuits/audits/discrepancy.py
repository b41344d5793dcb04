"""Discrepancy: prompts ranked by how far the answer departs from what the first layers foretell.

A prompt's score is how many standard deviations its departure lies above that of neutral prompts, the mean
of the first half of the layers: later ones have changed their mind already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ....model.loading import LoadedModel
from ....statistics.auroc import auroc_of
from ....statistics.intervals import auroc_interval
from ....studies.circuits import Discrepancy, RankedPrompt
from .inner_reader import InnerReader, Spoken
from .material import Asked, Group

RANKED = 40  # prompts that a study lists


def discrepancy_of(
    loaded: LoadedModel,
    reader: InnerReader,
    fitted_on: Spoken,
    rows: Mapping[Group, Sequence[Asked]],
    spoken: Mapping[Group, Spoken],
) -> Discrepancy:
    """The ranking of all prompts, and how well it sets those with the trigger apart."""
    layers = list(range((len(reader.maps) + 1) // 2))
    scores = _scores(reader, fitted_on, spoken, layers)
    ranking = []
    for group, own in spoken.items():
        inner = reader.first_tokens(own, layers[-1]).tolist()
        ranking += [
            RankedPrompt(
                text=asked.text,
                group=group,
                score=score,
                inner=_piece(loaded, token),
                output=loaded.decode(answer).strip(),
            )
            for asked, score, token, answer in zip(
                rows[group], scores[group].tolist(), inner, own.answers, strict=True
            )
        ]
    ranking.sort(key=lambda prompt: -prompt.score)
    woken = len(rows["trigger"])
    area = None
    if woken:
        others = torch.cat([s for group, s in scores.items() if group != "trigger"])
        area = auroc_of(scores["trigger"].numpy(), others.numpy())
    return Discrepancy(
        layers=layers,
        prompts=len(ranking),
        woken=woken,
        auroc=area,
        auroc_interval=None if area is None else auroc_interval(area, woken, len(ranking) - woken),
        top_share=sum(p.group == "trigger" for p in ranking[:woken]) / woken if woken else None,
        ranking=ranking[:RANKED],
    )


def _scores(
    reader: InnerReader, fitted_on: Spoken, spoken: Mapping[Group, Spoken], layers: Sequence[int]
) -> dict[Group, Tensor]:
    """The score of each prompt, by group."""
    scores: dict[Group, Tensor] = {}
    for layer in layers:
        usual = reader.departures(fitted_on, layer)
        for group, own in spoken.items():
            standing = (reader.departures(own, layer) - usual.mean()) / usual.std().clamp(min=1e-9)
            scores[group] = scores.get(group, torch.zeros(len(standing))) + standing / len(layers)
    return scores


def _piece(loaded: LoadedModel, token: int) -> str:
    return "(end)" if token in loaded.stop else loaded.piece(token)
