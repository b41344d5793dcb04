"""The SAELens folder: `cfg.json` beside `sae_weights.safetensors`, as most public dictionaries come.

Everything that is the same for all tokens is folded into the weights on reading: the scale that old
dictionaries learned after training, and the decoder norms that `rescale_acts_by_decoder_norm`
multiplies into the pre-activations. SAELens itself folds in `expected_average_only_in` when it saves.

Source: the file format of SAELens 6 and before (https://github.com/decoderesearch/SAELens).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..errors import CheckpointError
from .autoencoder import SparseAutoencoder
from .saelens_config import load_config, read_config

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from .saelens_config import SAELensConfig

NAME = "SAELens"
CONFIG_FILE = "cfg.json"
WEIGHTS_FILE = "sae_weights.safetensors"
ARCHITECTURE_OF = {"relu": "standard", "topk": "topk", "jumprelu": "jumprelu"}


def recognises(path: Path) -> bool:
    """Whether the folder holds the two files and the configuration speaks SAELens's words."""
    if not (path / CONFIG_FILE).is_file() or not (path / WEIGHTS_FILE).is_file():
        return False
    try:
        return {"d_in", "d_sae"} <= load_config(path / CONFIG_FILE).keys()
    except CheckpointError:
        return False


def read(path: Path) -> SparseAutoencoder:
    """The dictionary in the folder, in float32.

    Raises:
        CheckpointError: a damaged file, a tensor that is missing, of the wrong shape or not finite, or
            an architecture that is not supported.
    """
    config = read_config(path / CONFIG_FILE)
    tensors = _load_tensors(path / WEIGHTS_FILE)
    width, features = config.width, config.feature_count
    w_enc = _take(tensors, "W_enc", (width, features), path).T.contiguous()
    b_enc = _take(tensors, "b_enc", (features,), path)
    w_dec = _take(tensors, "W_dec", (features, width), path)
    b_dec = _take(tensors, "b_dec", (width,), path)
    threshold = _take(tensors, "threshold", (features,), path) if config.activation == "jumprelu" else None
    if config.gates_by_decoder_norm:
        norm = w_dec.norm(dim=1).clamp(min=torch.finfo(torch.float32).tiny)
        w_enc, b_enc, w_dec = w_enc * norm[:, None], b_enc * norm, w_dec / norm[:, None]
    scale = _learned_scale(tensors, config, path)
    if scale is not None:
        w_dec = w_dec * scale[:, None]
    try:
        return SparseAutoencoder(
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
            source=str(path),
        )
    except ValueError as problem:
        raise CheckpointError(f"{problem}: {path}") from problem


def write(sae: SparseAutoencoder, path: Path, *, model_name: str = "") -> None:
    """Save a dictionary as a SAELens folder, which is created where it is missing.

    Args:
        sae: the dictionary; its codes are the same after reading it back.
        path: the folder.
        model_name: the model that it belongs to, for other tools.
    """
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
        "metadata": {"model_name": model_name, "hook_name": sae.hook, "hook_layer": sae.layer},
    }
    if sae.k is not None:
        config["k"] = sae.k
        config["rescale_acts_by_decoder_norm"] = False
    path.mkdir(parents=True, exist_ok=True)
    # clone: two fields may be views of one storage, which safetensors refuses.
    save_file(
        {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()},
        path / WEIGHTS_FILE,
    )
    (path / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _load_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as problem:
        raise CheckpointError(
            f"SAE weights must be a whole safetensors file, got {path}: {problem}"
        ) from problem


def _take(tensors: dict[str, Tensor], name: str, shape: tuple[int, ...], path: Path) -> Tensor:
    if name not in tensors:
        raise CheckpointError(f"an SAE must have the tensor {name}, got only {', '.join(tensors)}: {path}")
    tensor = tensors[name]
    if tuple(tensor.shape) != shape:
        raise CheckpointError(f"{name} must have the shape {list(shape)}, got {list(tensor.shape)}: {path}")
    if not tensor.is_floating_point():
        raise CheckpointError(f"{name} must be floating point, got {tensor.dtype}: {path}")
    tensor = tensor.float()
    if not bool(torch.isfinite(tensor).all()):
        raise CheckpointError(f"{name} must be finite, got NaN or infinity: {path}")
    return tensor


def _learned_scale(tensors: dict[str, Tensor], config: SAELensConfig, path: Path) -> Tensor | None:
    """What old dictionaries multiply into the codes before they decode; None where there is none."""
    for name in ("finetuning_scaling_factor", "scaling_factor"):
        if name in tensors:
            scale = _take(tensors, name, (config.feature_count,), path)
            if torch.equal(scale, torch.ones_like(scale)):
                continue
            if not config.scaled_after_training:
                raise CheckpointError(
                    f"{name} must be 1 unless the configuration sets finetuning_scaling_factor, got others: {path}"
                )
            return scale
    return None
