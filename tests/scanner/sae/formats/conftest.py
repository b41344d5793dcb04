"""Dictionaries laid out as each format has them, with what they compute written down in float64."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

FEATURES, WIDTH, K = 17, 6, 4


@dataclass(frozen=True, kw_only=True)
class Published:
    """One dictionary on disk.

    Attributes:
        path: what a user would give.
        weights: the file with the tensors.
        encode: float64 activations to dense codes.
        decode: activations and dense codes to the output.
        states: what the reader should find: attributes of the dictionary.
    """

    path: Path
    weights: Path
    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor, Tensor], Tensor]
    states: dict[str, object] = field(default_factory=dict)


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape)


def save_torch(path: Path, content: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


def save_safetensors(path: Path, content: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in content.items()}, path)
    return path


def save_json(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def topk(pre: Tensor) -> Tensor:
    top = pre.topk(K, dim=1)
    return torch.zeros_like(pre).scatter(1, top.indices, top.values.relu())


def above(pre: Tensor, threshold: Tensor | float) -> Tensor:
    return pre.relu() * (pre > threshold)


def saelens_gated(root: Path) -> Published:
    w = {"W_enc": normal(WIDTH, FEATURES), "W_dec": normal(FEATURES, WIDTH), "b_dec": normal(WIDTH)}
    w |= {"b_gate": normal(FEATURES), "b_mag": normal(FEATURES), "r_mag": 0.3 * normal(FEATURES)}
    weights = save_safetensors(root / "sae_weights.safetensors", w)
    metadata = {"hook_name": "blocks.6.hook_resid_pre", "sae_lens_version": "6.54.12"}
    config = {"architecture": "gated", "d_in": WIDTH, "d_sae": FEATURES, "apply_b_dec_to_input": True}
    save_json(root / "cfg.json", {**config, "normalize_activations": "none", "metadata": metadata})

    def encode(x: Tensor) -> Tensor:
        u = (x - w["b_dec"]) @ w["W_enc"].double()
        return (u + w["b_gate"] > 0) * (w["r_mag"].double().exp() * u + w["b_mag"]).relu()

    return Published(
        path=root,
        weights=weights,
        encode=encode,
        decode=lambda _x, codes: codes @ w["W_dec"].double() + w["b_dec"],
        states={"format": "SAELens", "layer": 6, "hook": "blocks.6.hook_resid_pre", "activation": "jumprelu"},
    )


def sparsify(root: Path) -> Published:
    w = {
        "encoder.weight": normal(FEATURES, WIDTH),
        "encoder.bias": normal(FEATURES),
        "W_dec": normal(FEATURES, WIDTH),
        "b_dec": normal(WIDTH),
    }
    folder = root / "layers.3"
    weights = save_safetensors(folder / "sae.safetensors", w)
    save_json(folder / "cfg.json", {"d_in": WIDTH, "k": K, "num_latents": FEATURES, "expansion_factor": 32})
    return Published(
        path=folder,
        weights=weights,
        encode=lambda x: topk((x - w["b_dec"]) @ w["encoder.weight"].T.double() + w["encoder.bias"]),
        decode=lambda _x, codes: codes @ w["W_dec"].double() + w["b_dec"],
        states={"format": "sparsify", "layer": 3, "hook": "layers.3", "k": K, "hook_out": ""},
    )


def sparsify_transcoder(root: Path) -> Published:
    w = {
        "encoder.weight": normal(12, WIDTH),
        "encoder.bias": normal(12),
        "W_dec": normal(12, WIDTH),
        "b_dec": normal(WIDTH),
        "W_skip": normal(WIDTH, WIDTH),
    }
    folder = root / "layers.3.mlp"
    weights = save_safetensors(folder / "sae.safetensors", w)
    config = {"d_in": WIDTH, "k": K, "num_latents": 0, "expansion_factor": 2, "transcode": True}
    save_json(folder / "cfg.json", {**config, "skip_connection": True, "activation": "topk"})
    return Published(
        path=folder,
        weights=weights,
        encode=lambda x: topk(x @ w["encoder.weight"].T.double() + w["encoder.bias"]),
        decode=lambda x, codes: codes @ w["W_dec"].double() + w["b_dec"] + x @ w["W_skip"].T.double(),
        states={"layer": 3, "hook": "layers.3.mlp.input", "hook_out": "layers.3.mlp.output"},
    )


def gemma_scope(root: Path) -> Published:
    w = {"W_enc": normal(WIDTH, FEATURES), "W_dec": normal(FEATURES, WIDTH), "b_enc": normal(FEATURES)}
    w |= {"b_dec": normal(WIDTH), "threshold": torch.rand(FEATURES)}
    folder = root / "gemma-scope-2b-pt-res" / "layer_12" / "width_16k" / "average_l0_71"
    folder.mkdir(parents=True)
    np.savez(folder / "params.npz", **{name: tensor.numpy() for name, tensor in w.items()})
    return Published(
        path=folder,
        weights=folder / "params.npz",
        encode=lambda x: above(x @ w["W_enc"].double() + w["b_enc"], w["threshold"]),
        decode=lambda _x, codes: codes @ w["W_dec"].double() + w["b_dec"],
        states={"layer": 12, "hook": "blocks.12.hook_resid_post", "stated_l0": 71.0, "hook_out": ""},
    )


def gemma_scope_2(root: Path) -> Published:
    w = {"w_enc": normal(WIDTH, FEATURES), "w_dec": normal(FEATURES, 9), "b_enc": normal(FEATURES)}
    w |= {"b_dec": normal(9), "threshold": torch.rand(FEATURES), "affine_skip_connection": normal(WIDTH, 9)}
    folder = root / "transcoder" / "layer_7_width_16k_l0_small_affine"
    weights = save_safetensors(folder / "params.safetensors", w)
    hook, out = (
        "model.layers.7.pre_feedforward_layernorm.output",
        "model.layers.7.post_feedforward_layernorm.output",
    )
    config = {"architecture": "jump_relu", "hf_hook_point_in": hook, "hf_hook_point_out": out, "l0": 20}
    config |= {"model_name": "gemma-3-4b-it", "affine_connection": True}
    save_json(folder / "config.json", config)
    return Published(
        path=folder,
        weights=weights,
        encode=lambda x: above(x @ w["w_enc"].double() + w["b_enc"], w["threshold"]),
        decode=lambda x, codes: (
            codes @ w["w_dec"].double() + w["b_dec"] + x @ w["affine_skip_connection"].double()
        ),
        states={"layer": 7, "hook": hook, "hook_out": out, "stated_l0": 20.0},
    )


def llama_scope(root: Path) -> Published:
    w = {
        "encoder.weight": normal(FEATURES, WIDTH),
        "encoder.bias": normal(FEATURES),
        "decoder.weight": normal(WIDTH, FEATURES),
        "decoder.bias": normal(WIDTH),
    }
    folder = root / "Llama3_1-8B-Base-L24R-32x"
    weights = save_safetensors(folder / "checkpoints" / "final.safetensors", w)
    hook = "blocks.24.hook_resid_post"
    config = {
        "d_model": WIDTH,
        "act_fn": "jumprelu",
        "jump_relu_threshold": 0.75,
        "norm_activation": "dataset-wise",
        "dataset_average_activation_norm": {"in": 3.5, "out": 3.5},
        "sparsity_include_decoder_norm": True,
        "hook_point_in": hook,
        "hook_point_out": hook,
        "top_k": 50,
    }
    save_json(folder / "hyperparams.json", config)
    scale, norm = WIDTH**0.5 / 3.5, w["decoder.weight"].double().norm(dim=0)

    def encode(x: Tensor) -> Tensor:
        pre = scale * x @ w["encoder.weight"].T.double() + w["encoder.bias"]
        return above(pre * norm, 0.75) / norm

    return Published(
        path=folder,
        weights=weights,
        encode=encode,
        decode=lambda _x, codes: (codes @ w["decoder.weight"].T.double() + w["decoder.bias"]) / scale,
        states={"layer": 24, "hook": hook, "hook_out": "", "stated_l0": 50.0},
    )


def llamascopium(root: Path) -> Published:
    w = {"W_E": normal(WIDTH, FEATURES), "W_D": normal(FEATURES, WIDTH), "b_E": normal(FEATURES)}
    w |= {"b_D": normal(WIDTH)}
    hook, out = "blocks.2.ln2.hook_normalized", "blocks.2.hook_mlp_out"
    norms = {f"dataset_average_activation_norm.{hook}": torch.tensor(2.0)}
    norms |= {f"dataset_average_activation_norm.{out}": torch.tensor(5.0)}
    weights = save_safetensors(root / "sae_weights.safetensors", w | norms)
    config = {"sae_type": "sae", "d_model": WIDTH, "expansion_factor": FEATURES / WIDTH, "act_fn": "topk"}
    save_json(root / "config.json", {**config, "top_k": K, "hook_point_in": hook, "hook_point_out": out})
    scale, norm = WIDTH**0.5 / 2.0, w["W_D"].double().norm(dim=1)
    return Published(
        path=root,
        weights=weights,
        # Codes in units of what they write: times ‖W_D‖, with directions of length 1.
        encode=lambda x: topk((scale * x @ w["W_E"].double() + w["b_E"]) * norm),
        decode=lambda _x, codes: ((codes / norm) @ w["W_D"].double() + w["b_D"]) / (WIDTH**0.5 / 5.0),
        states={"layer": 2, "hook": hook, "hook_out": out, "k": K},
    )


def dictionary_learning(kind: str) -> Callable[[Path], Published]:
    """`ae.pt` of one of its classes."""

    def write(root: Path) -> Published:
        layers = {"encoder.weight": normal(FEATURES, WIDTH), "decoder.weight": normal(WIDTH, FEATURES)}
        matrices = {"W_enc": normal(WIDTH, FEATURES), "W_dec": normal(FEATURES, WIDTH)}
        b_enc, b_dec = normal(FEATURES), normal(WIDTH)
        b_gate, b_mag, r_mag = normal(FEATURES), normal(FEATURES), 0.3 * normal(FEATURES)
        level, thresholds, k = torch.tensor(0.6), torch.rand(FEATURES), torch.tensor(K)
        w = {
            "AutoEncoder": {**layers, "encoder.bias": b_enc, "bias": b_dec},
            "AutoEncoderNew": {**layers, "encoder.bias": b_enc, "decoder.bias": b_dec},
            "GatedAutoEncoder": {
                **layers,
                "decoder_bias": b_dec,
                "gate_bias": b_gate,
                "mag_bias": b_mag,
                "r_mag": r_mag,
            },
            "JumpReluAutoEncoder": {**matrices, "b_enc": b_enc, "b_dec": b_dec, "threshold": thresholds},
            "AutoEncoderTopK": {**layers, "encoder.bias": b_enc, "b_dec": b_dec, "k": k, "threshold": level},
            "BatchTopKSAE": {**layers, "encoder.bias": b_enc, "b_dec": b_dec, "k": k, "threshold": level},
            "MatryoshkaBatchTopKSAE": {
                **matrices,
                "b_enc": b_enc,
                "b_dec": b_dec,
                "k": k,
                "threshold": level,
                "group_sizes": torch.tensor([8, FEATURES - 8]),
            },
        }[kind]
        w_enc = (matrices["W_enc"] if "W_enc" in w else layers["encoder.weight"].T).double()
        w_dec = (matrices["W_dec"] if "W_dec" in w else layers["decoder.weight"].T).double()
        centre = 0 if kind in ("AutoEncoderNew", "JumpReluAutoEncoder") else b_dec.double()

        def encode(x: Tensor) -> Tensor:
            u = (x - centre) @ w_enc
            if kind == "GatedAutoEncoder":
                return (u + b_gate > 0) * (r_mag.double().exp() * u + b_mag).relu()
            pre = u + b_enc
            if kind == "AutoEncoderTopK":
                return topk(pre)
            if kind == "JumpReluAutoEncoder":
                return above(pre, thresholds)
            return above(pre, 0.6 if "k" in w else 0.0)

        trainer = {"dict_class": kind, "layer": 5, "submodule_name": "resid_post_layer_5", "k": K}
        save_json(root / "config.json", {"trainer": trainer, "buffer": {"ctx_len": 128}})
        return Published(
            path=root,
            weights=save_torch(root / "ae.pt", w),
            encode=encode,
            decode=lambda _x, codes: codes @ w_dec + b_dec,
            states={
                "layer": 5,
                "hook": "resid_post_layer_5",
                "stated_l0": float(K),
                "format": "dictionary_learning",
            },
        )

    return write


def qwen_scope(root: Path) -> Published:
    w = {"W_enc": normal(FEATURES, WIDTH), "W_dec": normal(WIDTH, FEATURES), "b_enc": normal(FEATURES)}
    w |= {"b_dec": normal(WIDTH)}
    path = save_torch(root / f"SAE-Res-Qwen3-1.7B-Base-W32K-L0_{K}" / "layer11.sae.pt", w)
    return Published(
        path=path,
        weights=path,
        encode=lambda x: topk(x @ w["W_enc"].T.double() + w["b_enc"]),
        decode=lambda _x, codes: codes @ w["W_dec"].T.double() + w["b_dec"],
        states={"layer": 11, "k": K, "hook": "blocks.11.hook_resid_post"},
    )


def goodfire(root: Path) -> Published:
    w = {"encoder_linear.weight": normal(FEATURES, WIDTH), "encoder_linear.bias": normal(FEATURES)}
    w |= {"decoder_linear.weight": normal(WIDTH, FEATURES), "decoder_linear.bias": normal(WIDTH)}
    path = save_torch(root / "Llama-3.1-8B-Instruct-SAE-l19.pth", w)
    return Published(
        path=root,
        weights=path,
        encode=lambda x: (x @ w["encoder_linear.weight"].T.double() + w["encoder_linear.bias"]).relu(),
        decode=lambda _x, codes: codes @ w["decoder_linear.weight"].T.double() + w["decoder_linear.bias"],
        states={"layer": 19, "activation": "relu"},
    )


def openai(root: Path) -> Published:
    w = {
        "pre_bias": normal(WIDTH),
        "latent_bias": normal(FEATURES),
        "encoder.weight": normal(FEATURES, WIDTH),
    }
    w |= {
        "decoder.weight": normal(WIDTH, FEATURES),
        "stats_last_nonzero": torch.zeros(FEATURES, dtype=torch.long),
    }
    named = {"activation": "TopK", "activation_state_dict": {"k": K, "postact_fn": "ReLU"}}
    path = save_torch(root / "resid_post_mlp_v5_32k" / "autoencoders" / "8.pt", w | named)

    def encode(x: Tensor) -> Tensor:
        normalised = (x - x.mean(dim=1, keepdim=True)) / (x.std(dim=1, keepdim=True) + 1e-5)
        return topk((normalised - w["pre_bias"]) @ w["encoder.weight"].T.double() + w["latent_bias"])

    def decode(x: Tensor, codes: Tensor) -> Tensor:
        decoded = codes @ w["decoder.weight"].T.double() + w["pre_bias"]
        return decoded * x.std(dim=1, keepdim=True) + x.mean(dim=1, keepdim=True)

    states = {"layer": 8, "hook": "blocks.8.hook_resid_post", "normalisation": "layer_norm", "k": K}
    return Published(path=path, weights=path, encode=encode, decode=decode, states=states)


def circuit_tracer(root: Path) -> Published:
    w = {"W_enc": normal(FEATURES, WIDTH), "W_dec": normal(WIDTH, FEATURES), "b_enc": normal(FEATURES)}
    w |= {"b_dec": normal(WIDTH), "W_skip": normal(WIDTH, WIDTH)}
    path = save_safetensors(root / "layer_9.safetensors", w)
    (root / "config.yaml").write_text(
        'model_name: "Qwen/Qwen3-4B"\nfeature_input_hook: "mlp.hook_in"\nfeature_output_hook: mlp.hook_out\n'
    )
    return Published(
        path=path,
        weights=path,
        encode=lambda x: (x @ w["W_enc"].T.double() + w["b_enc"]).relu(),
        decode=lambda x, codes: codes @ w["W_dec"].T.double() + w["b_dec"] + x @ w["W_skip"].T.double(),
        states={"layer": 9, "hook": "blocks.9.mlp.hook_in", "hook_out": "blocks.9.mlp.hook_out"},
    )


CLASSES = (
    "AutoEncoder",
    "AutoEncoderNew",
    "GatedAutoEncoder",
    "JumpReluAutoEncoder",
    "AutoEncoderTopK",
    "BatchTopKSAE",
    "MatryoshkaBatchTopKSAE",
)
LAYOUTS: dict[str, Callable[[Path], Published]] = {
    "SAELens gated": saelens_gated,
    "sparsify": sparsify,
    "sparsify transcoder": sparsify_transcoder,
    "Gemma Scope": gemma_scope,
    "Gemma Scope 2": gemma_scope_2,
    "Llama Scope": llama_scope,
    "llamascopium": llamascopium,
    **{f"dictionary_learning {kind}": dictionary_learning(kind) for kind in CLASSES},
    "Qwen-Scope": qwen_scope,
    "Goodfire": goodfire,
    "OpenAI": openai,
    "circuit-tracer transcoder": circuit_tracer,
}


@pytest.fixture(params=LAYOUTS)
def published(request: pytest.FixtureRequest, tmp_path: Path) -> Published:
    """A dictionary in each format."""
    return LAYOUTS[request.param](tmp_path)


@pytest.fixture(scope="session")
def layouts() -> dict[str, Callable[[Path], Published]]:
    """Every format by name, to write one and change something about it."""
    return LAYOUTS
