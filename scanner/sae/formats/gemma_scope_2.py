"""Gemma Scope 2: `params.safetensors` with lower-case names, beside a `config.json`, for Gemma 3.

Transcoders have `hf_hook_point_out` in the configuration, and some a linear path besides. Where the
configuration is missing, the folder's name says the layer and the place. Crosslayer transcoders write
to many layers at once and are refused.

Source: https://huggingface.co/google/gemma-scope-2-4b-it and its siblings; the layout as SAELens
6.54.12 and circuit-tracer 0.5.0 read it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ...errors import CheckpointError
from ..hook_points import place
from .assembly import assemble
from .configuration import load_config, plain_number, text
from .weights_file import only_file, open_weights, tensor_names

if TYPE_CHECKING:
    from pathlib import Path

    from ..autoencoder import SparseAutoencoder

NAME = "Gemma Scope 2"
KEYS = {"w_enc", "w_dec", "b_enc", "b_dec", "threshold"}
MATRIX = 2
MLP_IN = "model.layers.{}.pre_feedforward_layernorm.output"
MLP_OUT = "model.layers.{}.post_feedforward_layernorm.output"
HOOKS_OF = {
    "resid_post": ("model.layers.{}.output", ""),
    "mlp_out": (MLP_OUT, ""),
    "attn_out": ("model.layers.{}.self_attn.o_proj.input", ""),
    "transcoder": (MLP_IN, MLP_OUT),
}
NAMED_PARENTS = 5  # folders above the file that may say what it is


def recognises(path: Path) -> bool:
    """Whether it is one safetensors file with Gemma Scope 2's names."""
    file = only_file(path, "*.safetensors")
    return file is not None and tensor_names(file) >= KEYS


def read(path: Path) -> SparseAutoencoder:
    """The dictionary in the file.

    Raises:
        CheckpointError: a damaged file, another architecture, or a crosslayer transcoder.
    """
    file = only_file(path, "*.safetensors") or path
    weights = open_weights(file)
    if weights.tensors["w_dec"].ndim != MATRIX:
        raise CheckpointError(
            f"w_dec must be a matrix, got shape {list(weights.tensors['w_dec'].shape)}: a crosslayer "
            f"transcoder writes to several layers and is not supported: {file}"
        )
    where = file.with_name("config.json")
    config: dict[str, Any] = load_config(where) if where.is_file() else {}
    if config.get("architecture", "jump_relu") != "jump_relu":
        raise CheckpointError(
            f"a Gemma Scope 2 architecture must be jump_relu, got {config['architecture']!r}: {where}"
        )
    hook, hook_out = _hooks(config, file)
    width, features = weights.matrix_shape("w_enc")
    out = weights.matrix_shape("w_dec")[1]
    skip = None
    if "affine_skip_connection" in weights:
        skip = weights.take("affine_skip_connection", width, out).T.contiguous()
        hook_out = hook_out or "not stated"
    return assemble(
        path,
        w_enc=weights.take("w_enc", width, features).T.contiguous(),
        b_enc=weights.take("b_enc", features),
        w_dec=weights.take("w_dec", features, out),
        b_dec=weights.take("b_dec", out),
        activation="jumprelu",
        threshold=weights.take("threshold", features),
        apply_b_dec_to_input=False,
        layer=place(hook).layer,
        hook=hook,
        hook_out=hook_out,
        w_skip=skip,
        stated_l0=plain_number(config.get("l0")),
    )


def _hooks(config: dict[str, Any], file: Path) -> tuple[str, str]:
    """What it reads and, for a transcoder, what it predicts: by the configuration, else by the path."""
    stated = text(config, "hf_hook_point_in")
    if stated:
        out = text(config, "hf_hook_point_out")
        return stated, "" if out == stated else out
    names = "/".join(file.resolve().parts[-1 - NAMED_PARENTS :])
    layer = re.search(r"layer_(\d+)", names)
    site = next((site for site in HOOKS_OF if site in names), None)
    if layer is None or site is None:
        return "", ""
    read, written = HOOKS_OF[site]
    return read.format(layer[1]), written.format(layer[1])
