"""llamascopium (OpenMOSS): `config.json` beside `sae_weights.safetensors` with `W_E`, `W_D`, `b_E`, `b_D`.

Plain dictionaries and transcoders between two hook points are read; its crosscoders, crosslayer
transcoders and attention dictionaries are other things and are refused by their `sae_type`.

Source: https://github.com/OpenMOSS/Llamascopium; see `openmoss.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import CheckpointError
from .configuration import config_keys, load_config
from .openmoss import fold
from .weights_file import open_weights, tensor_names

if TYPE_CHECKING:
    from pathlib import Path

    from ..autoencoder import SparseAutoencoder

NAME = "llamascopium"
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "sae_weights.safetensors"
TYPES = ("sae", "matryoshka_sae")
THRESHOLD = "activation_function.log_jumprelu_threshold"


def recognises(path: Path) -> bool:
    """Whether the folder holds the two files, with llamascopium's words in both."""
    keys = config_keys(path / CONFIG_FILE)
    return {"sae_type", "d_model"} <= keys and {"W_E", "W_D"} <= tensor_names(path / WEIGHTS_FILE)


def read(path: Path) -> SparseAutoencoder:
    """The dictionary in the folder.

    Raises:
        CheckpointError: a damaged file or a kind that is not supported, as `openmoss.fold` says.
    """
    config = load_config(path / CONFIG_FILE)
    kind = config.get("sae_type")
    if kind not in TYPES:
        raise CheckpointError(f"sae_type must be one of {', '.join(TYPES)}, got {kind!r}: {path}")
    weights = open_weights(path / WEIGHTS_FILE)
    width, features = weights.matrix_shape("W_E")
    return fold(
        path,
        weights,
        config,
        w_enc=weights.take("W_E", width, features).T.contiguous(),
        b_enc=weights.take("b_E", features),
        w_dec=weights.take("W_D", features, width),
        b_dec=weights.take("b_D", width) if config.get("use_decoder_bias", True) else None,
        threshold=weights.take(THRESHOLD, features).exp() if config.get("act_fn") == "jumprelu" else None,
    )
