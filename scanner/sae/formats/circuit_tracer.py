"""Transcoders for circuit-tracer: one `layer_L.safetensors` a layer, `config.yaml` beside them.

The activation is told by what the file holds: `k` means TopK, `activation_function.threshold` JumpReLU,
neither ReLU. Some sets say TopK in `config.yaml` alone; reading those as ReLU would switch on about ten
times too many features, so the file is looked at for `activation` and `k`. Two published versions
disagree on how `W_dec` lies, which its shape settles. circuit-tracer's TopK keeps a negative value where
a token has fewer than k positive ones; here it is 0, as everywhere else.

Source: https://github.com/safety-research/circuit-tracer (single_layer_transcoder.py, 0.5.0);
https://huggingface.co/mwhanna.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch

from ...errors import CheckpointError
from .assembly import assemble
from .configuration import LARGEST_CONFIG, whole_number
from .weights_file import only_file, open_weights, tensor_names

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from ..autoencoder import SparseAutoencoder
    from .weights_file import WeightsFile

NAME = "circuit-tracer transcoder"
KEYS = {"W_enc", "W_dec", "b_enc", "b_dec"}
THRESHOLD = "activation_function.threshold"


def recognises(path: Path) -> bool:
    """Whether it is one safetensors file of a layer with circuit-tracer's four tensors."""
    file = only_file(path, "layer_*.safetensors")
    return file is not None and tensor_names(file) >= KEYS


def read(path: Path) -> SparseAutoencoder:
    """The transcoder in the file.

    Raises:
        CheckpointError: a damaged file, or TopK without a k.
    """
    file = only_file(path, "layer_*.safetensors") or path
    weights = open_weights(file)
    settings = _settings(file.with_name("config.yaml"))
    features, width = weights.matrix_shape("W_enc")
    out = int(weights.tensors["b_dec"].numel())
    k, threshold = _activation(weights, settings, features)
    number = re.search(r"layer_(\d+)", file.name)
    layer = int(number[1]) if number else None
    block = "" if layer is None else f"blocks.{layer}."
    return assemble(
        path,
        w_enc=weights.take("W_enc", features, width),
        b_enc=weights.take("b_enc", features),
        w_dec=_decoder(weights, features, out),
        b_dec=weights.take("b_dec", out),
        activation="topk" if k else "jumprelu" if threshold is not None else "relu",
        k=k,
        threshold=threshold,
        apply_b_dec_to_input=False,
        layer=layer,
        hook=block + settings.get("feature_input_hook", "mlp.hook_in"),
        hook_out=block + settings.get("feature_output_hook", "hook_mlp_out"),
        w_skip=weights.take("W_skip", out, width) if "W_skip" in weights else None,
        stated_l0=float(k) if k else None,
    )


def _decoder(weights: WeightsFile, features: int, out: int) -> Tensor:
    if weights.matrix_shape("W_dec") == (out, features) != (features, out):
        return weights.take("W_dec", out, features).T.contiguous()
    return weights.take("W_dec", features, out)


def _activation(
    weights: WeightsFile, settings: dict[str, str], features: int
) -> tuple[int | None, Tensor | None]:
    """Features a token for TopK, thresholds for JumpReLU, neither for ReLU."""
    if "k" in weights:
        return whole_number("k", int(weights.number("k") or 0), weights.path), None
    if settings.get("activation") == "topk":
        k = settings.get("k", "")
        if not k.isdecimal():
            raise CheckpointError(
                f"config.yaml must give k beside activation: topk, got {k!r}: {weights.path}; add a line like k: 128"
            )
        return whole_number("k", int(k), weights.path), None
    if THRESHOLD not in weights:
        return None, None
    level = weights.number(THRESHOLD) if weights.tensors[THRESHOLD].numel() == 1 else None
    return None, torch.full((features,), level) if level is not None else weights.take(THRESHOLD, features)


def _settings(path: Path) -> dict[str, str]:
    """The plain `name: value` lines of the configuration; nothing where it is missing."""
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_CONFIG:
            return {}
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    found = (re.fullmatch(r"""(\w+):\s*["']?([\w./ -]+?)["']?\s*""", line) for line in lines)
    return {line[1]: line[2] for line in found if line}
