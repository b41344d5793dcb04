"""Goodfire: one `.pth` file with an encoder and a decoder layer, ReLU between them.

b_dec is not subtracted from the input. The layer stands in the file's name (`…-SAE-l19.pth`).

Source: https://huggingface.co/Goodfire; the layout as SAELens 6.54.12 reads it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .assembly import assemble
from .weights_file import only_file, open_weights, tensor_names

if TYPE_CHECKING:
    from pathlib import Path

    from ..autoencoder import SparseAutoencoder

NAME = "Goodfire"
FILES = ("*.pth", "*.pt")
KEYS = {f"{part}_linear.{what}" for part in ("encoder", "decoder") for what in ("weight", "bias")}


def recognises(path: Path) -> bool:
    """Whether it is one PyTorch file with Goodfire's four tensors."""
    file = only_file(path, *FILES)
    return file is not None and tensor_names(file) >= KEYS


def read(path: Path) -> SparseAutoencoder:
    """The dictionary in the file.

    Raises:
        CheckpointError: a damaged file.
    """
    file = only_file(path, *FILES) or path
    weights = open_weights(file)
    features, width = weights.matrix_shape("encoder_linear.weight")
    layer = re.search(r"[-_]l(\d+)\b", file.stem)
    return assemble(
        path,
        w_enc=weights.take("encoder_linear.weight", features, width),
        b_enc=weights.take("encoder_linear.bias", features),
        w_dec=weights.take("decoder_linear.weight", width, features).T.contiguous(),
        b_dec=weights.take("decoder_linear.bias", width),
        activation="relu",
        apply_b_dec_to_input=False,
        layer=int(layer[1]) if layer else None,
        hook=f"blocks.{layer[1]}.hook_resid_post" if layer else "",
    )
