"""The SAELens folder: `cfg.json` beside `sae_weights.safetensors`, as most public dictionaries come.

Everything that is the same for all tokens is folded into the weights on reading: the scale that old
dictionaries learned after training, the decoder norms that `rescale_acts_by_decoder_norm` multiplies
into the pre-activations, and the gate of a gated dictionary. SAELens itself folds in
`expected_average_only_in` when it saves, and saves a BatchTopK dictionary with a threshold; one saved
in the middle of training still has `topk_threshold`, which is taken in its place.

Source: the file format of SAELens 6 and before (https://github.com/decoderesearch/SAELens).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file

from ...errors import CheckpointError
from .assembly import assemble
from .configuration import config_keys
from .folding import Encoder, decoder_norms, fold_gate
from .saelens_config import read_config
from .weights_file import open_weights

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from ..autoencoder import SparseAutoencoder
    from .saelens_config import SAELensConfig
    from .weights_file import WeightsFile

NAME = "SAELens"
CONFIG_FILE = "cfg.json"
WEIGHTS_FILE = "sae_weights.safetensors"
ARCHITECTURE_OF = {"relu": "standard", "topk": "topk", "abstopk": "abstopk", "jumprelu": "jumprelu"}
# Of the layout that is written: without one SAELens takes a folder for an older one and drops its metadata.
LAYOUT_VERSION = "6.0.0"


def recognises(path: Path) -> bool:
    """Whether the folder holds the two files and the configuration speaks SAELens's words."""
    folder = _folder(path)
    return (folder / WEIGHTS_FILE).is_file() and {"d_in", "d_sae"} <= config_keys(folder / CONFIG_FILE)


def read(path: Path) -> SparseAutoencoder:
    """The dictionary in the folder, in float32.

    Raises:
        CheckpointError: a damaged file, a tensor that is missing, of the wrong shape or not finite, or
            an architecture that is not supported.
    """
    folder = _folder(path)
    config = read_config(folder / CONFIG_FILE)
    weights = open_weights(folder / WEIGHTS_FILE)
    features = config.feature_count
    w_enc, b_enc, threshold = _encoder(weights, config)
    w_dec = weights.take("W_dec", features, config.width_out)
    b_dec = weights.take("b_dec", config.width_out)
    if config.gates_by_decoder_norm:
        norm = decoder_norms(w_dec)
        w_enc, b_enc, w_dec = w_enc * norm[:, None], b_enc * norm, w_dec / norm[:, None]
    scale = _learned_scale(weights, config)
    if scale is not None:
        w_dec = w_dec * scale[:, None]
    return assemble(
        path,
        w_enc=w_enc,
        b_enc=b_enc,
        w_dec=w_dec,
        b_dec=b_dec,
        activation=config.activation,
        k=config.k,
        threshold=threshold,
        apply_b_dec_to_input=config.apply_b_dec_to_input,
        normalisation=config.normalisation,
        layer=config.layer,
        hook=config.hook,
        hook_out=config.hook_out,
        w_skip=weights.take("W_skip", config.width_out, config.width) if config.has_skip else None,
        stated_l0=config.stated_l0,
    )


def _folder(path: Path) -> Path:
    return path.parent if path.is_file() and path.name == WEIGHTS_FILE else path


def _encoder(weights: WeightsFile, config: SAELensConfig) -> tuple[Tensor, Tensor, Tensor | None]:
    features = config.feature_count
    w_enc = weights.take("W_enc", config.width, features).T.contiguous()
    if config.architecture == "gated":
        b_gate, b_mag, r_mag = (weights.take(name, features) for name in ("b_gate", "b_mag", "r_mag"))
        return fold_gate(w_enc, b_gate, b_mag, r_mag)
    b_enc = weights.take("b_enc", features)
    if config.activation != "jumprelu":
        return w_enc, b_enc, None
    level = weights.number("topk_threshold")
    if level is not None:
        threshold = torch.full((features,), level)
    elif "log_threshold" in weights:
        threshold = weights.take("log_threshold", features).exp()
    else:
        threshold = weights.take("threshold", features)
    return Encoder(w_enc, b_enc, threshold)


def write(
    sae: SparseAutoencoder, path: Path, *, model_name: str = "", header: Mapping[str, str] | None = None
) -> None:
    """Save a dictionary as a SAELens folder, which is created where it is missing.

    Args:
        sae: the dictionary; its codes are the same after reading it back.
        path: the folder.
        model_name: the model that it belongs to, for other tools.
        header: text to keep beside the tensors, in the header of their file; no reader of the format looks there.

    Raises:
        ValueError: a transcoder, or an activation that SAELens has no inference form of.
    """
    if sae.is_transcoder or sae.activation not in ARCHITECTURE_OF:
        what = "a transcoder" if sae.is_transcoder else sae.activation
        raise ValueError(f"a dictionary to write must be one of {', '.join(ARCHITECTURE_OF)}, got {what}")
    tensors = {"W_enc": sae.w_enc.T, "b_enc": sae.b_enc, "W_dec": sae.w_dec, "b_dec": sae.b_dec}
    if sae.threshold is not None:
        tensors["threshold"] = sae.threshold
    config: dict[str, object] = {
        "architecture": ARCHITECTURE_OF[sae.activation],
        "d_in": sae.width,
        "d_sae": sae.feature_count,
        "dtype": str(sae.w_enc.dtype).removeprefix("torch."),
        "device": "cpu",
        "apply_b_dec_to_input": sae.apply_b_dec_to_input,
        "normalize_activations": sae.normalisation,
        "reshape_activations": "none",
        "metadata": {
            "sae_lens_version": LAYOUT_VERSION,
            "model_name": model_name,
            "hook_name": sae.hook,
            "hook_layer": sae.layer,
        },
    }
    if sae.k is not None:
        config["k"] = sae.k
        config["rescale_acts_by_decoder_norm"] = False
    path.mkdir(parents=True, exist_ok=True)
    # clone: two fields may be views of one storage, which safetensors refuses.
    save_file(
        {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()},
        path / WEIGHTS_FILE,
        metadata=dict(header) if header else None,
    )
    (path / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _learned_scale(weights: WeightsFile, config: SAELensConfig) -> Tensor | None:
    """What old dictionaries multiply into the codes before they decode; None where there is none."""
    for name in ("finetuning_scaling_factor", "scaling_factor"):
        if name in weights:
            scale = weights.take(name, config.feature_count)
            if torch.equal(scale, torch.ones_like(scale)):
                continue
            if not config.scaled_after_training:
                raise CheckpointError(
                    f"{name} must be 1 unless the configuration sets finetuning_scaling_factor, "
                    f"got others: {weights.path}"
                )
            return scale
    return None
