"""What a file that a training leaves belongs to: one recipe and one set of tokens, in the header of its tensors.

The header of a safetensors file takes any text, and readers of the tensors pass over it. It is one entry: of several
the library writes the order by chance, and a dictionary's file would not have the same bytes twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from ..errors import UsageError
from .recipe import TrainingRecipe

ENTRY = "trained_with"
SAMPLED = 4096  # tokens that a set is known by


def identity(recipe: TrainingRecipe, tokens: Tensor) -> dict[str, str]:
    """What is written into a header: the recipe, and a fingerprint of the tokens [N, d].

    The fingerprint is their shape, their dtype, and a hash of tokens from everywhere in the set; layer and hook point
    follow from it, since other activations stand there.
    """
    return {ENTRY: json.dumps({"recipe": asdict(recipe), "tokens": _fingerprint(tokens)})}


def check_identity(header: Mapping[str, str], own: Mapping[str, str], path: Path) -> None:
    """Nothing where the header is that of the same training.

    Args:
        header: what a file has.
        own: `identity` of the training at hand.
        path: named in the error.

    Raises:
        UsageError: it is that of another, or of none.
    """
    try:
        theirs, mine = (json.loads(entries[ENTRY]) for entries in (header, own))
        other = [what for what, value in mine.items() if theirs[what] != value]
    except (KeyError, TypeError, ValueError):
        raise UsageError(f"{path} does not say what it was trained with; remove it to start anew") from None
    if other:
        raise UsageError(
            f"{path} belongs to a training with other {' and '.join(other)}; remove it to start anew"
        )


def _fingerprint(tokens: Tensor) -> str:
    chosen = tokens[:: max(1, len(tokens) // SAMPLED)].detach().cpu().float().contiguous()
    digest = hashlib.sha256(chosen.numpy().tobytes()).hexdigest()
    return f"{tuple(tokens.shape)} {tokens.dtype} {digest}"
