"""What a SAELens `cfg.json` says, old spellings and new ones made the same.

Before version 6 everything lay flat in one object, the hook was `hook_point`, a top-k dictionary
called itself "standard" with the k in `activation_fn_kwargs`, and the normalisation was a truth value.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ...kernels.sae_encode import Activation
    from ...kernels.sae_encode.normalisation import Normalisation

LARGEST_CONFIG = 1 << 20  # bytes; real ones have a few thousand
ACTIVATION_OF: dict[str, Activation] = {
    "standard": "relu",
    "topk": "topk",
    "jumprelu": "jumprelu",
    # Saved with one threshold in place of the top-k over the batch.
    "batchtopk": "jumprelu",
}
NORMALISATION_OF: dict[str, Normalisation] = {
    "none": "none",
    "expected_average_only_in": "none",
    "constant_norm_rescale": "constant_norm_rescale",
    "layer_norm": "layer_norm",
}


@dataclass(frozen=True, kw_only=True)
class SAELensConfig:
    """The part of the configuration that changes what the dictionary computes, and where it belongs."""

    activation: Activation
    k: int | None
    width: int
    feature_count: int
    normalisation: Normalisation
    apply_b_dec_to_input: bool
    scaled_after_training: bool
    gates_by_decoder_norm: bool
    layer: int | None
    hook: str


def load_config(path: Path) -> dict[str, Any]:
    """The JSON object in the file.

    Raises:
        CheckpointError: no JSON object, or one too large to be a configuration.
    """
    try:
        if path.stat().st_size > LARGEST_CONFIG:
            raise CheckpointError(f"an SAE configuration must have at most {LARGEST_CONFIG} bytes: {path}")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        raise CheckpointError(
            f"an SAE configuration must be readable JSON, got {path}: {problem}"
        ) from problem
    if not isinstance(found, dict):
        raise CheckpointError(
            f"an SAE configuration must be a JSON object, got {type(found).__name__}: {path}"
        )
    return found


def read_config(path: Path) -> SAELensConfig:
    """The configuration in the file.

    Raises:
        CheckpointError: a missing or wrong entry, or an architecture that is not supported.
    """
    given = load_config(path)
    nested = given.get("metadata")
    metadata: Mapping[str, Any] = {**given, **nested} if isinstance(nested, dict) else given
    arguments = given.get("activation_fn_kwargs") or {}
    if not isinstance(arguments, dict):
        raise CheckpointError(f"activation_fn_kwargs must be an object, got {arguments!r}: {path}")
    architecture = given.get("architecture", "standard")
    k = given.get("k", arguments.get("k"))
    if architecture == "standard" and (k is not None or given.get("activation_fn") == "topk"):
        architecture = "topk"
    if not isinstance(architecture, str) or architecture not in ACTIVATION_OF:
        names = ", ".join(ACTIVATION_OF)
        raise CheckpointError(f"an SAE architecture must be one of {names}, got {architecture!r}: {path}")
    activation = ACTIVATION_OF[architecture]
    if given.get("reshape_activations", "none") == "hook_z":
        raise CheckpointError(
            f"an SAE must read the residual stream, got one for attention heads (hook_z): {path}"
        )
    hook = metadata.get("hook_name") or metadata.get("hook_point") or ""
    return SAELensConfig(
        activation=activation,
        k=_whole_number("k", k, path) if activation == "topk" else None,
        width=_whole_number("d_in", given.get("d_in"), path),
        feature_count=_whole_number("d_sae", given.get("d_sae"), path),
        normalisation=_normalisation(given.get("normalize_activations"), path),
        apply_b_dec_to_input=bool(given.get("apply_b_dec_to_input", True)),
        scaled_after_training=bool(given.get("finetuning_scaling_factor", False)),
        gates_by_decoder_norm=bool(given.get("rescale_acts_by_decoder_norm", False)),
        layer=_layer(metadata, str(hook)),
        hook=str(hook),
    )


def _whole_number(name: str, value: object, path: Path) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise CheckpointError(f"{name} must be a whole number of at least 1, got {value!r}: {path}")
    return value


def _normalisation(value: object, path: Path) -> Normalisation:
    if value is None or isinstance(value, bool):
        return "none"
    if value not in NORMALISATION_OF:
        names = ", ".join(NORMALISATION_OF)
        raise CheckpointError(f"normalize_activations must be one of {names}, got {value!r}: {path}")
    return NORMALISATION_OF[str(value)]


def _layer(metadata: Mapping[str, Any], hook: str) -> int | None:
    for name in ("hook_layer", "hook_point_layer"):
        value = metadata.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    named = re.search(r"\bblocks\.(\d+)\.", hook)
    return int(named[1]) if named else None
