"""dictionary_learning: `ae.pt` beside `config.json`, whose `trainer.dict_class` names the architecture.

BatchTopK and Matryoshka dictionaries keep every feature above one learned threshold; a Matryoshka
dictionary is used whole. Some versions multiply the codes of gated and JumpReLU dictionaries by the
lengths of their directions, 0.1.0 does not: the features that fire and the reconstruction are the same.
Without the configuration the tensors tell the architecture, except that TopK and BatchTopK hold the
same ones.

Source: https://github.com/saprmarks/dictionary_learning (dictionary.py, trainers/), 0.1.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ...errors import CheckpointError
from ..hook_points import place
from .assembly import assemble
from .configuration import load_config, plain_number, text, whole_number
from .folding import fold_gate
from .weights_file import only_file, open_weights, tensor_names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from ..autoencoder import SparseAutoencoder
    from .weights_file import WeightsFile

NAME = "dictionary_learning"
FILES = ("*.pt",)
# Each is enough to tell the format from the other PyTorch files.
KEYS = (
    {"encoder.weight", "encoder.bias", "decoder.weight", "bias"},
    {"encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias"},
    {"encoder.weight", "decoder.weight", "decoder_bias", "r_mag", "gate_bias", "mag_bias"},
    {"encoder.weight", "encoder.bias", "decoder.weight", "b_dec"},
    {"W_enc", "W_dec", "b_enc", "b_dec", "threshold"},
)


def recognises(path: Path) -> bool:
    """Whether it is one PyTorch file with the tensors of one of its architectures."""
    file = _file(path)
    names = tensor_names(file) if file is not None else frozenset()
    return any(names >= keys for keys in KEYS)


def read(path: Path) -> SparseAutoencoder:
    """The dictionary in the file.

    Raises:
        CheckpointError: a damaged file, an architecture that is not supported or not stated, or a
            threshold that training never set.
    """
    file = _file(path) or path
    weights = open_weights(file)
    where = file.with_name("config.json")
    trainer = load_config(where).get("trainer", {}) if where.is_file() else {}
    if not isinstance(trainer, dict):
        raise CheckpointError(f"trainer must be an object, got {type(trainer).__name__}: {where}")
    kind = text(trainer, "dict_class") or _architecture(weights)
    if kind not in READERS:
        raise CheckpointError(f"trainer.dict_class must be one of {', '.join(READERS)}, got {kind!r}: {file}")
    hook = text(trainer, "submodule_name")
    layer = trainer.get("layer")
    stated = isinstance(layer, int) and not isinstance(layer, bool) and layer >= 0
    return assemble(
        path,
        **READERS[kind](weights, trainer),
        layer=layer if stated else place(hook).layer,
        hook=hook,
        stated_l0=plain_number(trainer.get("k")) or plain_number(trainer.get("target_l0")),
    )


def _file(path: Path) -> Path | None:
    return path / "ae.pt" if (path / "ae.pt").is_file() else only_file(path, *FILES)


def _architecture(weights: WeightsFile) -> str:
    """The class that writes these tensors."""
    if "gate_bias" in weights:
        return "GatedAutoEncoder"
    if "bias" in weights:
        return "AutoEncoder"
    if "decoder.bias" in weights:
        return "AutoEncoderNew"
    if "W_enc" in weights:
        return "MatryoshkaBatchTopKSAE" if "group_sizes" in weights else "JumpReluAutoEncoder"
    raise CheckpointError(
        f"config.json must say in trainer.dict_class whether it is AutoEncoderTopK or BatchTopKSAE, which "
        f"hold the same tensors, got none: {weights.path}; fetch it from where the SAE came from"
    )


def _layers(weights: WeightsFile, *, bias: bool = True) -> dict[str, Any]:
    """What all with an encoder and a decoder layer have in common."""
    features, width = weights.matrix_shape("encoder.weight")
    found = {
        "w_enc": weights.take("encoder.weight", features, width),
        "w_dec": weights.take("decoder.weight", width, features).T.contiguous(),
    }
    return found | ({"b_enc": weights.take("encoder.bias", features)} if bias else {})


def _matrices(weights: WeightsFile) -> dict[str, Any]:
    """What all with the matrices themselves have in common."""
    width, features = weights.matrix_shape("W_enc")
    return {
        "w_enc": weights.take("W_enc", width, features).T.contiguous(),
        "b_enc": weights.take("b_enc", features),
        "w_dec": weights.take("W_dec", features, width),
        "b_dec": weights.take("b_dec", width),
    }


def _standard(weights: WeightsFile, _trainer: dict[str, Any]) -> dict[str, Any]:
    parts = _layers(weights)
    return parts | {"b_dec": weights.take("bias", parts["w_enc"].shape[1]), "activation": "relu"}


def _standard_new(weights: WeightsFile, _trainer: dict[str, Any]) -> dict[str, Any]:
    parts = _layers(weights)
    b_dec = weights.take("decoder.bias", parts["w_enc"].shape[1])
    return parts | {"b_dec": b_dec, "activation": "relu", "apply_b_dec_to_input": False}


def _gated(weights: WeightsFile, _trainer: dict[str, Any]) -> dict[str, Any]:
    parts = _layers(weights, bias=False)
    features, width = parts["w_enc"].shape
    b_gate, b_mag, r_mag = (weights.take(name, features) for name in ("gate_bias", "mag_bias", "r_mag"))
    folded = fold_gate(parts["w_enc"], b_gate, b_mag, r_mag)
    return {
        **parts,
        **folded._asdict(),
        "b_dec": weights.take("decoder_bias", width),
        "activation": "jumprelu",
    }


def _jumprelu(weights: WeightsFile, _trainer: dict[str, Any]) -> dict[str, Any]:
    parts = _matrices(weights)
    threshold = weights.take("threshold", parts["w_enc"].shape[0])
    return parts | {"threshold": threshold, "activation": "jumprelu", "apply_b_dec_to_input": False}


def _topk(weights: WeightsFile, trainer: dict[str, Any]) -> dict[str, Any]:
    parts = _layers(weights)
    k = int(weights.number("k") or 0) if "k" in weights else trainer.get("k")
    return parts | {
        "b_dec": weights.take("b_dec", parts["w_enc"].shape[1]),
        "activation": "topk",
        "k": whole_number("k", k, weights.path),
    }


def _batch_topk(weights: WeightsFile, _trainer: dict[str, Any]) -> dict[str, Any]:
    parts = _layers(weights)
    parts |= {"b_dec": weights.take("b_dec", parts["w_enc"].shape[1])}
    return parts | {"activation": "jumprelu", "threshold": _learned_threshold(weights, parts)}


def _matryoshka(weights: WeightsFile, _trainer: dict[str, Any]) -> dict[str, Any]:
    parts = _matrices(weights)
    return parts | {"activation": "jumprelu", "threshold": _learned_threshold(weights, parts)}


def _learned_threshold(weights: WeightsFile, parts: dict[str, Any]) -> Tensor:
    """The one level for all features; training starts it at -1 and sets it after a thousand steps."""
    level = weights.number("threshold")
    if level is None or level < 0:
        raise CheckpointError(
            f"threshold must be 0 or more, got {level}: {weights.path} is from before training set it; "
            "give a later checkpoint"
        )
    return torch.full((parts["w_enc"].shape[0],), level)


READERS: dict[str, Callable[[WeightsFile, dict[str, Any]], dict[str, Any]]] = {
    "AutoEncoder": _standard,
    "AutoEncoderNew": _standard_new,
    "GatedAutoEncoder": _gated,
    "JumpReluAutoEncoder": _jumprelu,
    "AutoEncoderTopK": _topk,
    "BatchTopKSAE": _batch_topk,
    "MatryoshkaBatchTopKSAE": _matryoshka,
}
