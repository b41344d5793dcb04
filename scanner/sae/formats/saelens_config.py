"""What a SAELens `cfg.json` says, old spellings and new ones made the same.

Before version 6 everything lay flat in one object, the hook was `hook_point`, a top-k dictionary
called itself "standard" with the k in `activation_fn_kwargs`, and the normalisation was a truth value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import CheckpointError
from ..hook_points import place
from .configuration import load_config, plain_number, whole_number

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ....kernels.sae_encode import Activation
    from ....kernels.sae_encode.normalisation import Normalisation

ACTIVATION_OF: dict[str, Activation] = {
    "standard": "relu",
    "topk": "topk",
    "jumprelu": "jumprelu",
    "abstopk": "abstopk",
    # One threshold stands in for the top-k over the batch; a Matryoshka dictionary is used whole.
    "batchtopk": "jumprelu",
    "matryoshka_batchtopk": "jumprelu",
    "gated": "jumprelu",  # after `fold_gate`
    "transcoder": "relu",
    "skip_transcoder": "relu",
    "jumprelu_transcoder": "jumprelu",
    "jumprelu_skip_transcoder": "jumprelu",
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

    architecture: str
    activation: Activation
    k: int | None
    width: int
    width_out: int
    feature_count: int
    normalisation: Normalisation
    apply_b_dec_to_input: bool
    scaled_after_training: bool
    gates_by_decoder_norm: bool
    stated_l0: float | None
    layer: int | None
    hook: str
    hook_out: str

    @property
    def has_skip(self) -> bool:
        """Whether a linear path runs beside the features."""
        return "skip" in self.architecture


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
    function = given.get("activation_fn") or given.get("activation_fn_str")
    if architecture == "standard" and (k is not None or function == "topk"):
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
    counted = activation in ("topk", "abstopk")
    width = whole_number("d_in", given.get("d_in"), path)
    transcoder = "transcoder" in architecture
    return SAELensConfig(
        architecture=architecture,
        activation=activation,
        k=whole_number("k", k, path) if counted else None,
        width=width,
        width_out=whole_number("d_out", given.get("d_out"), path) if transcoder else width,
        feature_count=whole_number("d_sae", given.get("d_sae"), path),
        normalisation=_normalisation(given.get("normalize_activations"), path),
        apply_b_dec_to_input=not transcoder and bool(given.get("apply_b_dec_to_input", True)),
        scaled_after_training=bool(given.get("finetuning_scaling_factor", False)),
        gates_by_decoder_norm=bool(given.get("rescale_acts_by_decoder_norm", False)),
        stated_l0=plain_number(k),
        layer=_layer(metadata, str(hook)),
        hook=str(hook),
        hook_out=str(metadata.get("hook_name_out") or "not stated") if transcoder else "",
    )


def _normalisation(value: object, path: Path) -> Normalisation:
    if value is None or isinstance(value, bool):
        return "none"
    if not isinstance(value, str) or value not in NORMALISATION_OF:
        names = ", ".join(NORMALISATION_OF)
        raise CheckpointError(f"normalize_activations must be one of {names}, got {value!r}: {path}")
    return NORMALISATION_OF[value]


def _layer(metadata: Mapping[str, Any], hook: str) -> int | None:
    for name in ("hook_layer", "hook_point_layer"):
        value = metadata.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return place(hook).layer
