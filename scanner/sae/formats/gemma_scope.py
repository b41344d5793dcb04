"""Gemma Scope: `params.npz` in `layer_L/width_W/average_l0_N`, JumpReLU dictionaries for Gemma 2.

The file holds weights alone. What it reads stands in the folder's and the repository's name
(`gemma-scope-2b-pt-res`, `-mlp`, `-att`, `-transcoders`), so keep those when you download one. The
embedding's dictionaries were trained on embeddings times √d, which is folded in.

Source: Lieberum et al. 2024 (arXiv 2408.05147); the layout as SAELens 6.54.12 reads it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .assembly import assemble
from .weights_file import only_file, open_weights, tensor_names

if TYPE_CHECKING:
    from pathlib import Path

    from ..autoencoder import SparseAutoencoder

NAME = "Gemma Scope"
KEYS = {"W_enc", "W_dec", "b_enc", "b_dec", "threshold"}
HOOK_OF = {
    "res": "blocks.{}.hook_resid_post",
    "mlp": "blocks.{}.hook_mlp_out",
    "att": "blocks.{}.attn.hook_z",
    "transcoders": "blocks.{}.ln2.hook_normalized",
}
NAMED_PARENTS = 6  # folders above the file that may say what it is


def recognises(path: Path) -> bool:
    """Whether it is one npz file with Gemma Scope's five arrays."""
    file = only_file(path, "*.npz")
    return file is not None and tensor_names(file) >= KEYS


def read(path: Path) -> SparseAutoencoder:
    """The dictionary in the file.

    Raises:
        CheckpointError: a damaged file.
    """
    file = only_file(path, "*.npz") or path
    weights = open_weights(file)
    width, features = weights.matrix_shape("W_enc")
    names = "/".join(file.resolve().parts[-1 - NAMED_PARENTS : -1])
    layer = re.search(r"\blayer_(\d+)", names)
    kind = re.search(r"\bgemma-scope-[^/]*-(res|mlp|att|transcoders)\b", names)
    stated = re.search(r"\baverage_l0_(\d+)", names)
    embedding = re.search(r"(^|/)embedding(/|$)", names) is not None
    written = f"blocks.{layer[1]}.hook_mlp_out" if layer else "not stated"
    transcoder = kind is not None and kind[1] == "transcoders"
    scale = width**0.5 if embedding else 1.0
    hook = HOOK_OF[kind[1]].format(layer[1]) if kind and layer else ""
    return assemble(
        path,
        w_enc=weights.take("W_enc", width, features).T.contiguous() / scale,
        b_enc=weights.take("b_enc", features),
        w_dec=weights.take("W_dec", features, width) * scale,
        b_dec=weights.take("b_dec", width),
        activation="jumprelu",
        threshold=weights.take("threshold", features),
        apply_b_dec_to_input=False,
        layer=int(layer[1]) if layer else None,
        hook="hook_embed" if embedding else hook,
        hook_out=written if transcoder else "",
        stated_l0=float(stated[1]) if stated else None,
    )
