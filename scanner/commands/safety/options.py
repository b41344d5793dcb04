"""Options that several safety commands share, and what they say in the studies' own terms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..options import checkpoint_argument, file_option, output_option

if TYPE_CHECKING:
    from ...safety.prompt_sets import Labelled
    from ...safety.refusals import Refusals

SafetyCheckpoint = Annotated[Path, checkpoint_argument("Folder of the checkpoint.")]
LabelledFile = Annotated[
    Path | None,
    file_option("Labelled prompts of yours as JSON; see docs/safety.md. Without it the bundled ones."),
]
HarmfulFile = Annotated[Path | None, file_option("Harmful requests of yours, one a line.")]
Markers = Annotated[
    list[str] | None,
    typer.Option(
        "--marker",
        metavar="TEXT",
        help="A text that makes an answer a refusal; replaces the list. Repeatable.",
    ),
]
Layers = Annotated[
    str | None, typer.Option(metavar="N,N", help="Decoder layers, 0-based; chosen without it.")
]
SafetyOutputs = Annotated[list[str] | None, output_option("json or text")]


def concepts_of(path: Path | None) -> tuple[dict[str, Labelled], dict[str, str]]:
    """The labelled prompts by concept, and the concepts that have none, with the reason."""
    from ...safety.prompt_sets import bundled_concepts, concepts_from

    return bundled_concepts() if path is None else concepts_from(path)


def refusals_by(markers: list[str] | None) -> Refusals:
    """What makes an answer a refusal: the markers given, or the list's."""
    from ...safety.refusals import Refusals

    return Refusals(markers=tuple(m.casefold() for m in markers)) if markers else Refusals()
