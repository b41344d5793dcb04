"""What the formats of OpenMOSS have in common: Llama Scope and llamascopium.

    h = s_in · x @ W_E + b_E,   gate on h · ‖W_D‖ (`sparsity_include_decoder_norm`) or on h
    x̂ = (codes @ W_D + b_D) / s_out,   s = √d / (average norm of the activations)

`s` is the same for all tokens, so it is folded in. A threshold on `h · ‖W_D‖` becomes one on h; where
features are counted instead, codes come in units of what they write (times ‖W_D‖, with directions of
length 1), since only so the ranking is kept.

Source: https://github.com/OpenMOSS/Language-Model-SAEs, now https://github.com/OpenMOSS/Llamascopium.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ...errors import CheckpointError
from ..hook_points import place
from .assembly import assemble
from .configuration import plain_number, positive_number, text, whole_number
from .folding import decoder_norms

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from ....kernels.sae_encode.normalisation import Normalisation
    from ..autoencoder import SparseAutoencoder
    from .weights_file import WeightsFile

ACTIVATIONS = ("relu", "jumprelu", "topk", "batchtopk")
NORM_KEY = "dataset_average_activation_norm"


def fold(
    path: Path,
    weights: WeightsFile,
    config: Mapping[str, Any],
    *,
    w_enc: Tensor,
    b_enc: Tensor,
    w_dec: Tensor,
    b_dec: Tensor | None,
    threshold: Tensor | None,
) -> SparseAutoencoder:
    """The dictionary that these weights and this configuration are.

    Args:
        path: as given by the user.
        weights: the open file, for the norms that it may hold.
        config: the configuration beside it.
        w_enc: encoder rows [F, d].
        b_enc: encoder bias.
        w_dec: decoder rows [F, d].
        b_dec: decoder bias, None where the dictionary has none.
        threshold: for JumpReLU, on the scale on which the features are gated.

    Raises:
        CheckpointError: an activation, a normalisation or an encoder that cannot be expressed.
    """
    activation = config.get("act_fn", "relu")
    if activation not in ACTIVATIONS:
        raise CheckpointError(f"act_fn must be one of {', '.join(ACTIVATIONS)}, got {activation!r}: {path}")
    if config.get("use_glu_encoder", False):
        raise CheckpointError(f"an encoder must be linear, got one with use_glu_encoder: {path}")
    if config.get("apply_decoder_bias_to_pre_encoder", False):
        raise CheckpointError(
            f"apply_decoder_bias_to_pre_encoder must be false, got true, which is not supported: {path}"
        )
    hook, out = text(config, "hook_point_in"), text(config, "hook_point_out")
    hook_out = "" if out == hook else out
    normalisation, scale_in, scale_out = _scales(weights, config, hook, out or hook, w_enc.shape[1])
    if hook_out and normalisation != "none":
        raise CheckpointError(
            f"a transcoder's norm_activation must be dataset-wise or inference, got token-wise: {path}"
        )
    if b_dec is None:
        b_dec = torch.zeros(w_dec.shape[1])
    counted = activation in ("topk", "batchtopk")
    if config.get("sparsity_include_decoder_norm", True) and activation != "relu":
        norm = decoder_norms(w_dec)
        if threshold is not None:
            threshold = threshold / norm
        else:
            w_enc, b_enc, w_dec = w_enc * norm[:, None], b_enc * norm, w_dec / norm[:, None]
    return assemble(
        path,
        w_enc=w_enc * scale_in,
        b_enc=b_enc,
        w_dec=w_dec / scale_out,
        b_dec=b_dec / scale_out,
        activation=activation,
        k=whole_number("top_k", config.get("top_k"), path) if counted else None,
        threshold=threshold if activation == "jumprelu" else None,
        apply_b_dec_to_input=False,
        normalisation=normalisation,
        layer=place(hook).layer,
        hook=hook,
        hook_out=hook_out,
        stated_l0=plain_number(config.get("top_k")),
    )


def _scales(
    weights: WeightsFile, config: Mapping[str, Any], hook: str, hook_out: str, width: int
) -> tuple[Normalisation, float, float]:
    """How each token is normalised, and what all tokens are multiplied by on the way in and out."""
    kind = config.get("norm_activation", "dataset-wise")
    if kind == "token-wise":
        return "constant_norm_rescale", 1.0, 1.0
    if kind == "inference":
        return "none", 1.0, 1.0
    if kind != "dataset-wise":
        raise CheckpointError(
            f"norm_activation must be dataset-wise, token-wise or inference, got {kind!r}: {weights.path}"
        )
    norms = []
    for place_name, name in (("in", hook), ("out", hook_out)):
        stated = config.get(NORM_KEY)
        value = stated.get(place_name, stated.get(name)) if isinstance(stated, dict) else None
        if value is None:
            value = weights.number(f"{NORM_KEY}.{name}")
        norms.append(positive_number(f"{NORM_KEY}.{place_name}", value, weights.path))
    return "none", width**0.5 / norms[0], width**0.5 / norms[1]
