"""OpenAI's sparse autoencoders: one `.pt` file a layer with `pre_bias`, `latent_bias` and the activation's
name. TopK goes with a layer norm of each token, undone behind the decoder; ReLU goes without.

The place stands in the folders' names (`resid_post_mlp_v5_32k/autoencoders/8.pt`).

Source: https://github.com/openai/sparse_autoencoder (model.py, paths.py); Gao et al. 2024
(arXiv 2406.04093).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...errors import CheckpointError
from .assembly import assemble
from .configuration import whole_number
from .weights_file import only_file, open_weights, tensor_names

if TYPE_CHECKING:
    from pathlib import Path

    from ..autoencoder import SparseAutoencoder
    from .weights_file import WeightsFile

NAME = "OpenAI"
KEYS = {"pre_bias", "latent_bias", "encoder.weight"}
HOOK_OF = {
    "resid_post_mlp": "blocks.{}.hook_resid_post",
    "resid_post_attn": "blocks.{}.hook_resid_mid",
    "resid_delta_mlp": "blocks.{}.hook_mlp_out",
    "resid_delta_attn": "blocks.{}.hook_attn_out",
    "mlp_post_act": "blocks.{}.mlp.hook_post",
}
NAMED_PARENTS = 3  # folders above the file that may say what it reads


def recognises(path: Path) -> bool:
    """Whether it is one PyTorch file with the two biases."""
    file = only_file(path, "*.pt")
    return file is not None and tensor_names(file) >= KEYS


def read(path: Path) -> SparseAutoencoder:
    """The dictionary in the file.

    Raises:
        CheckpointError: a damaged file, or an activation other than ReLU and TopK with ReLU.
    """
    file = only_file(path, "*.pt") or path
    weights = open_weights(file)
    features, width = weights.matrix_shape("encoder.weight")
    w_enc = weights.take("encoder.weight", features, width)
    tied = "decoder.weight" not in weights and "decoder.linear.weight" in weights
    k = _k(weights)
    names = "/".join(file.resolve().parts[-1 - NAMED_PARENTS : -1])
    hook = next((hook for name, hook in HOOK_OF.items() if name in names), "")
    layer = int(file.stem) if re.fullmatch(r"\d{1,3}", file.stem) else None
    return assemble(
        path,
        w_enc=w_enc,
        b_enc=weights.take("latent_bias", features),
        w_dec=w_enc if tied else weights.take("decoder.weight", width, features).T.contiguous(),
        b_dec=weights.take("pre_bias", width),
        activation="relu" if k is None else "topk",
        k=k,
        apply_b_dec_to_input=True,
        normalisation="none" if k is None else "layer_norm",
        layer=layer,
        hook="" if layer is None else hook.format(layer),
        stated_l0=None if k is None else float(k),
    )


def _k(weights: WeightsFile) -> int | None:
    """Features a token, None for ReLU."""
    activation = weights.others.get("activation", "ReLU")
    if activation == "ReLU":
        return None
    state = weights.others.get("activation_state_dict")
    if activation != "TopK" or not isinstance(state, dict) or state.get("postact_fn", "ReLU") != "ReLU":
        raise CheckpointError(
            f"an OpenAI SAE's activation must be ReLU, or TopK followed by ReLU, got {activation!r} with "
            f"{state!r}: {weights.path}"
        )
    return whole_number("activation_state_dict.k", state.get("k"), weights.path)
