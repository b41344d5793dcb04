"""What a dictionary is, in words for a reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...kernels.sae_encode import COUNTED

if TYPE_CHECKING:
    from .autoencoder import SparseAutoencoder

NOT_STATED = "not stated"


def describe(sae: SparseAutoencoder) -> dict[str, str]:
    """Label and value of everything that says what the dictionary computes and where it belongs."""
    rows = {
        "format": sae.format or NOT_STATED,
        "kind": "transcoder" if sae.is_transcoder else "autoencoder",
        "features": f"{sae.feature_count:,}",
        "width": str(sae.width),
        "activation": _activation(sae),
        "stated L0": NOT_STATED if sae.stated_l0 is None else f"{sae.stated_l0:g}",
        "normalisation": sae.normalisation,
        "centred": "b_dec is subtracted first" if sae.apply_b_dec_to_input else "no",
        "layer": NOT_STATED if sae.layer is None else str(sae.layer),
        "hook": sae.hook or NOT_STATED,
    }
    if sae.is_transcoder:
        rows |= {
            "hook out": sae.hook_out,
            "width out": str(sae.w_dec.shape[1]),
            "linear path": "yes" if sae.w_skip is not None else "no",
        }
    return {**rows, "source": sae.source or NOT_STATED}


def _activation(sae: SparseAutoencoder) -> str:
    if sae.activation in COUNTED:
        return f"{sae.activation}, k = {sae.k}"
    if sae.threshold is None:
        return sae.activation
    low, high = float(sae.threshold.min()), float(sae.threshold.max())
    return f"{sae.activation}, threshold {low:.3g}" + (f" to {high:.3g}" if low != high else "")
