"""Whether the configuration, the tensors and the tokenizer speak of the same model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..errors import CheckpointError
from .opened import EMBEDDINGS, HEADS
from .safetensors_header import FLOATING, StoredTensor
from .tokenizer_files import TokenizerFiles
from .wording import shown

CAUSAL = re.compile(r"[A-Za-z][A-Za-z0-9_]*(ForCausalLM|LMHeadModel)")
# A language model with other towers beside it, whose own configuration is `text_config`.
BESIDE_OTHERS = re.compile(r"[A-Za-z][A-Za-z0-9_]*ForConditionalGeneration")
LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d{1,5})\.")
WIDTH_KEYS = ("hidden_size", "n_embd", "d_model")
MAX_FIGURE = 2**31  # of a vocabulary, a width, a depth
DEPTH_KEYS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")


def causal_architecture(config: Mapping[str, Any]) -> str:
    """The class that the configuration names: a causal language model, alone or with a vision tower beside it.

    Raises:
        CheckpointError: none is named, or the weights are quantised.
    """
    for key in ("quantization_config", "compression_config"):
        if config.get(key):
            raise CheckpointError(
                f"quantised checkpoints are not supported, config.json has {key}{_method(config[key])}; "
                "scan the checkpoint it was made from"
            )
    named = config.get("architectures")
    names = [name for name in named if isinstance(name, str)] if isinstance(named, list) else []
    pattern = BESIDE_OTHERS if isinstance(config.get("text_config"), dict) else CAUSAL
    causal = [name for name in names if CAUSAL.fullmatch(name) or pattern.fullmatch(name)]
    if not causal or config.get("is_encoder_decoder"):
        got = ", ".join(map(shown, names)) or "no architecture"
        raise CheckpointError(
            f"only causal language models are scanned, config.json names {got}; "
            "give a checkpoint whose architecture ends in ForCausalLM or LMHeadModel, or that has a text_config"
        )
    return causal[0]


def _method(quantisation: Any) -> str:
    """What it says of how the weights were quantised, e.g. ` (gptq, 4-bit)`."""
    if not isinstance(quantisation, dict):
        return ""
    method, bits = quantisation.get("quant_method"), quantisation.get("bits")
    if bits is None:
        bits = 4 if quantisation.get("load_in_4bit") else 8 if quantisation.get("load_in_8bit") else None
    said = [shown(method)] if isinstance(method, str) else []
    said += [f"{bits}-bit"] if type(bits) is int else []
    return f" ({', '.join(said)})" if said else ""


def find_embedding(tensors: Mapping[str, StoredTensor]) -> str | None:
    """The token embedding's name, by the names that the families of causal models use."""
    for ending in EMBEDDINGS:
        matches = [
            name
            for name, stored in tensors.items()
            if (name == ending or name.endswith("." + ending)) and len(stored.shape) == 2
        ]
        if matches:
            return min(matches, key=len)
    return None


def check_dtypes(tensors: Mapping[str, StoredTensor]) -> None:
    """Matrices must be floating point; whole numbers there mean packed or quantised weights."""
    for name, stored in tensors.items():
        if len(stored.shape) == 2 and stored.dtype not in FLOATING:
            raise CheckpointError(
                f"weights must be F16, BF16, F32 or F64, tensor {shown(name)} is {stored.dtype}; "
                "scan the checkpoint before quantisation"
            )


def check_vocabulary(
    config: Mapping[str, Any],
    tensors: Mapping[str, StoredTensor],
    embedding: str | None,
    tokenizer: TokenizerFiles,
) -> int:
    """The number of rows of the token embedding, after holding all that speak of it against it."""
    stated = _figure(config, ("vocab_size",))
    rows = tensors[embedding].shape[0] if embedding else stated
    if rows is None:
        raise CheckpointError(
            "config.json must say vocab_size for this architecture; ask for a complete config.json"
        )
    if stated is not None and stated != rows:
        raise CheckpointError(
            f"config.json says vocab_size {stated}, the embedding {shown(embedding)} has {rows} rows; "
            "one of the two files is of another model, download both again"
        )
    # A token that was added for other towers may have none (Gemma 3); a prompt that needs it is an error then.
    if tokenizer.largest_ordinary_id is not None and tokenizer.largest_ordinary_id >= rows:
        raise CheckpointError(
            f"every token needs an embedding row: the tokenizer's largest id is {tokenizer.largest_ordinary_id} "
            f"({tokenizer.token_count} tokens), the embedding has {rows} rows; use the tokenizer of this model"
        )
    width = _figure(config, WIDTH_KEYS)
    # Some families embed into another width than the residual stream's and say so.
    projected = _figure(config, ("word_embed_proj_dim", "embedding_size"))
    if embedding and width is not None and tensors[embedding].shape[1] not in (width, projected):
        raise CheckpointError(
            f"config.json says a width of {width}, the embedding {shown(embedding)} has {tensors[embedding].shape[1]}; "
            "one of the two files is of another model, download both again"
        )
    return rows


def check_layers(config: Mapping[str, Any], tensors: Mapping[str, StoredTensor]) -> None:
    """Every layer that the configuration counts must be stored; loaders would make up a missing one."""
    depth = _figure(config, DEPTH_KEYS)
    beside_others = isinstance(config.get("text_config"), dict)
    own = [name for name in tensors if "language_model" in name] if beside_others else list(tensors)
    stored = {int(match[1]) for name in own if (match := LAYER.search(name))}
    if depth is None or not stored:
        return
    if depth > 100_000 or (missing := set(range(depth)) - stored):
        what = f"layer {min(missing)} is" if depth <= 100_000 else "most are"
        raise CheckpointError(
            f"config.json says {depth} layers, the weights hold {len(stored)} and {what} missing; "
            "download the weights again"
        )


def is_tied(config: Mapping[str, Any], tensors: Mapping[str, StoredTensor]) -> bool:
    """Whether the output head is the token embedding.

    Raises:
        CheckpointError: the head is said to be its own and is not stored.
    """
    stored = any(name in tensors for name in HEADS)
    stated = _stated(config, "tie_word_embeddings")
    if stated is False and not stored:
        raise CheckpointError(
            "config.json says tie_word_embeddings false, the weights hold no output head (lm_head.weight); "
            "download the weights again"
        )
    return stated is True or not stored


def _figure(config: Mapping[str, Any], keys: tuple[str, ...]) -> int | None:
    for key in keys:
        value = _stated(config, key)
        if value is None:
            continue
        if type(value) is not int or not 1 <= value <= MAX_FIGURE:
            raise CheckpointError(
                f"config.json must say {key} as a whole number from 1 to {MAX_FIGURE}, got {shown(value)}; download it again"
            )
        return value
    return None


def _stated(config: Mapping[str, Any], key: str) -> Any:
    """What the configuration says of the language model, which has a part of its own beside other towers."""
    own = config.get("text_config")
    return own[key] if isinstance(own, dict) and key in own else config.get(key)
