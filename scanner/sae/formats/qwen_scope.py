"""Qwen-Scope: one file a layer, `layer{n}.sae.pt`, TopK dictionaries of the residual stream.

How many features fire stands in the repository's name alone (`…-L0_50`), so keep it as a folder's name
when you download one. b_dec is not subtracted from the input.

Source: https://huggingface.co/collections/Qwen/qwen-scope; the layout as SAELens 6.54.12 reads it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...errors import CheckpointError
from .assembly import assemble
from .weights_file import only_file, open_weights, tensor_names

if TYPE_CHECKING:
    from pathlib import Path

    from ..autoencoder import SparseAutoencoder

NAME = "Qwen-Scope"
KEYS = {"W_enc", "W_dec", "b_enc", "b_dec"}
NAMED_PARENTS = 3  # folders above the file that may be the repository


def recognises(path: Path) -> bool:
    """Whether it is one PyTorch file with exactly Qwen-Scope's four tensors."""
    file = only_file(path, "*.sae.pt")
    return file is not None and tensor_names(file) == KEYS


def read(path: Path) -> SparseAutoencoder:
    """The dictionary in the file.

    Raises:
        CheckpointError: a damaged file, or no folder above it that says how many features fire.
    """
    file = only_file(path, "*.sae.pt") or path
    weights = open_weights(file)
    features, width = weights.matrix_shape("W_enc")
    names = "/".join(file.resolve().parts[-1 - NAMED_PARENTS : -1])
    k = re.search(r"L0_(\d+)", names)
    if k is None:
        raise CheckpointError(
            f"a Qwen-Scope SAE must lie in a folder that ends in L0_k, as its repository does, got {file}; "
            "name the folder like the repository"
        )
    layer = re.search(r"layer(\d+)", file.name)
    return assemble(
        path,
        w_enc=weights.take("W_enc", features, width),
        b_enc=weights.take("b_enc", features),
        w_dec=weights.take("W_dec", width, features).T.contiguous(),
        b_dec=weights.take("b_dec", width),
        activation="topk",
        k=int(k[1]),
        apply_b_dec_to_input=False,
        layer=int(layer[1]) if layer else None,
        hook=f"blocks.{layer[1]}.hook_resid_post" if layer else "",
        stated_l0=float(k[1]),
    )
