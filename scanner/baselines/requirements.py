"""What a baseline cannot do without: given, or a refusal that names the remedy."""

from __future__ import annotations

from ..detector import KnownTrigger, Suspect
from ..model.loading import LoadedModel


def base_of(suspect: Suspect, name: str) -> LoadedModel:
    """The loaded base.

    Raises:
        ValueError: none was given, or its residual stream is not as wide as the suspect's.
    """
    base = suspect.base_for(name)
    width = suspect.subject.loaded.width
    if base.width != width:
        raise ValueError(
            f"suspect and base must have the same width, got {width} and {base.width}; "
            "give the model that the suspect was made from"
        )
    return base


def known_of(suspect: Suspect, name: str) -> KnownTrigger:
    """The prompts with the true trigger, and those without.

    Raises:
        ValueError: none were given, or one of the lists of triggered and clean prompts is empty.
    """
    if suspect.known is None:
        raise ValueError(f"{name} needs prompts with the true trigger, got none; leave it out of scans")
    if not suspect.known.triggered or not suspect.known.clean:
        raise ValueError(
            f"{name} needs triggered and clean prompts, got {len(suspect.known.triggered)} and "
            f"{len(suspect.known.clean)}; give at least one of each"
        )
    return suspect.known
