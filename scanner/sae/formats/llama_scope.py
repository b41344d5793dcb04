"""Llama Scope: `hyperparams.json` beside `checkpoints/final.safetensors`; its successors for reasoning
models have `config.json` beside `sae_weights.safetensors` and one threshold a feature.

The threshold is one number for all features, on the scale of normalised activations. Whether features
are gated on `h · ‖W_D‖` is read from `sparsity_include_decoder_norm`, as OpenMOSS does and SAELens
does not: trust the measured L0.

Source: He et al. 2024 (arXiv 2410.20526); see `openmoss.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .configuration import config_keys, load_config, positive_number
from .openmoss import fold
from .weights_file import open_weights, tensor_names

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from ..autoencoder import SparseAutoencoder

NAME = "Llama Scope"
LAYOUTS = (
    ("hyperparams.json", "checkpoints/final.safetensors"),
    ("config.json", "sae_weights.safetensors"),
)
KEYS = {"encoder.weight", "decoder.weight"}


def recognises(path: Path) -> bool:
    """Whether the folder is in one of the two layouts and speaks of `d_model` and the activation."""
    return _layout(path) is not None


def read(path: Path) -> SparseAutoencoder:
    """The dictionary in the folder.

    Raises:
        CheckpointError: a damaged file or a kind that is not supported, as `openmoss.fold` says.
    """
    where, file = _layout(path) or (path / LAYOUTS[0][0], path / LAYOUTS[0][1])
    config = {"act_fn": "jumprelu", **load_config(where)}
    weights = open_weights(file)
    features, width = weights.matrix_shape("encoder.weight")
    threshold: Tensor | None = None
    if config["act_fn"] == "jumprelu" and "log_jumprelu_threshold" in weights:
        threshold = weights.take("log_jumprelu_threshold", features).exp()
    elif config["act_fn"] == "jumprelu":
        level = positive_number("jump_relu_threshold", config.get("jump_relu_threshold"), where)
        threshold = torch.full((features,), level)
    return fold(
        path,
        weights,
        config,
        w_enc=weights.take("encoder.weight", features, width),
        b_enc=weights.take("encoder.bias", features),
        w_dec=weights.take("decoder.weight", width, features).T.contiguous(),
        b_dec=weights.take("decoder.bias", width) if "decoder.bias" in weights else None,
        threshold=threshold,
    )


def _layout(path: Path) -> tuple[Path, Path] | None:
    for config_name, weights_name in LAYOUTS:
        where, file = path / config_name, path / weights_name
        if "d_model" in config_keys(where) and tensor_names(file) >= KEYS:
            return where, file
    return None
