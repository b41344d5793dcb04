"""Whether a dictionary that came from elsewhere belongs where it is used.

Every format leaves something out (the scale of its inputs, what its threshold is compared with, the
model it was trained on), and a wrong layer or hook point gives codes all the same. What cannot be
faked is the outcome on the model's own activations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .autoencoder import SparseAutoencoder
    from .quality import SAEQuality

# Published dictionaries explain 0.6 to 0.95 where they belong; a wrong layer is worse than the mean.
LEAST_EXPLAINED = 0.2
# L0 varies with the text; a misread activation is off by about ten times.
L0_FACTOR = 4.0


def misfit(sae: SparseAutoencoder, quality: SAEQuality) -> str | None:
    """What is wrong with the dictionary on these activations, in one line; None where nothing is.

    Where all tokens are alike nothing can be explained, and nothing is said about it.

    Args:
        sae: the dictionary.
        quality: its figures on the activations it is used on.
    """
    name = sae.source or "the SAE"
    remedy = "check the model, the layer and the hook point it was trained on"
    if quality.explained_variance < LEAST_EXPLAINED:
        return (
            f"an SAE should explain at least {LEAST_EXPLAINED:.0%} of the variance of the activations it reads, "
            f"got {quality.explained_variance:.1%} from {name}; {remedy}"
        )
    stated = sae.stated_l0
    if stated is not None and not stated / L0_FACTOR <= quality.l0 <= stated * L0_FACTOR:
        return (
            f"an SAE's L0 should be within {L0_FACTOR:.0f} times of the stated {stated:.0f}, "
            f"got {quality.l0:.1f} from {name}; {remedy}"
        )
    return None
