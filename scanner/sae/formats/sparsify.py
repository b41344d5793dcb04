"""sparsify (EleutherAI): one folder a hook point, `cfg.json` beside `sae.safetensors`.

The folder's name is the module that it reads: `layers.5` the output of a block, `layers.5.mlp` that of
its MLP; a transcoder (`transcode`) reads that module's input and predicts its output. The decoder bias
is subtracted from the input of an autoencoder alone.

Source: eai-sparsify 1.3.3 (https://github.com/EleutherAI/sparsify); `signed` is of its early versions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import CheckpointError
from ..hook_points import place
from .assembly import assemble
from .configuration import config_keys, load_config, plain_number, whole_number
from .weights_file import open_weights

if TYPE_CHECKING:
    from pathlib import Path

    from ..autoencoder import SparseAutoencoder

NAME = "sparsify"
CONFIG_FILE = "cfg.json"
WEIGHTS_FILE = "sae.safetensors"


def recognises(path: Path) -> bool:
    """Whether the folder holds the two files and the configuration speaks sparsify's words."""
    folder = _folder(path)
    return (folder / WEIGHTS_FILE).is_file() and {"d_in", "k"} <= config_keys(folder / CONFIG_FILE)


def read(path: Path) -> SparseAutoencoder:
    """The dictionary in the folder.

    Raises:
        CheckpointError: a damaged file, or the activation groupmax, which no kernel here has.
    """
    folder = _folder(path)
    where = folder / CONFIG_FILE
    config = load_config(where)
    activation = config.get("activation", "topk")
    if activation != "topk":
        raise CheckpointError(
            f"a sparsify activation must be topk, got {activation!r}, which is not supported; "
            f"give an SAE that was trained with topk: {where}"
        )
    width = whole_number("d_in", config["d_in"], where)
    features = config.get("num_latents") or width * whole_number(
        "expansion_factor", config.get("expansion_factor"), where
    )
    features = whole_number("num_latents", features, where)
    weights = open_weights(folder / WEIGHTS_FILE)
    transcode = bool(config.get("transcode", False))
    module = folder.resolve().name
    known = place(module)
    if not known.site:
        module = ""
    return assemble(
        path,
        w_enc=weights.take("encoder.weight", features, width),
        b_enc=weights.take("encoder.bias", features),
        w_dec=weights.take("W_dec", features, width),
        b_dec=weights.take("b_dec", width),
        activation="abstopk" if config.get("signed", False) else "topk",
        k=whole_number("k", config["k"], where),
        apply_b_dec_to_input=not transcode,
        layer=known.layer,
        hook=f"{module}.input".lstrip(".") if transcode else module,
        hook_out=f"{module}.output".lstrip(".") if transcode else "",
        w_skip=weights.take("W_skip", width, width) if transcode and "W_skip" in weights else None,
        stated_l0=plain_number(config["k"]),
    )


def _folder(path: Path) -> Path:
    return path.parent if path.is_file() and path.name == WEIGHTS_FILE else path
