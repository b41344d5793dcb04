"""What a pickle would import if somebody loaded it; it is disassembled, never loaded.

picklescan reads the opcodes and knows which globals run code. Its word is taken for naming the
danger, never for calling a pickle safe.
"""

from __future__ import annotations

import logging
import zipfile
from dataclasses import dataclass

from picklescan.scanner import SafetyLevel, scan_bytes

from .inventory import FileEntry
from .kinds import Kind
from .wording import shown

MAX_PICKLE_BYTES = 256 * 2**20
MAX_ARCHIVE_RATIO = 100


@dataclass(frozen=True, kw_only=True)
class PickleReport:
    """The globals in one pickle or archive of pickles.

    Attributes:
        dangerous: `module.name` of globals known to run code.
        problem: why the file could not be read whole; empty if it was.
    """

    dangerous: tuple[str, ...] = ()
    problem: str = ""


def inspect_pickle(entry: FileEntry) -> PickleReport:
    """Which dangerous globals the file names."""
    if entry.kind is Kind.ZIP:
        problem = _archive_problem(entry)
        if problem:
            return PickleReport(problem=problem)
    elif entry.kind is not Kind.PICKLE:
        return PickleReport(
            problem=f"its content is {entry.kind.value}, not a pickle that can be taken apart"
        )
    elif entry.size > MAX_PICKLE_BYTES:
        return PickleReport(problem=f"a pickle of {entry.size} bytes is too large to take apart")
    log = logging.getLogger("picklescan")
    disabled, log.disabled = log.disabled, True
    try:
        extension = ".pt" if entry.kind is Kind.ZIP or entry.suffix != ".npy" else ".npy"
        with entry.path.open("rb") as file:
            result = scan_bytes(file, shown(entry.name), extension)
    except Exception as problem:  # malformed input must become a report, whatever the library trips over
        return PickleReport(problem=f"{type(problem).__name__}: {shown(problem)}")
    finally:
        log.disabled = disabled
    dangerous = {f"{g.module}.{g.name}" for g in result.globals if g.safety == SafetyLevel.Dangerous}
    return PickleReport(
        dangerous=tuple(sorted(shown(name) for name in dangerous)),
        problem="the pickle is broken off or malformed" if result.scan_err else "",
    )


def _archive_problem(entry: FileEntry) -> str:
    try:
        with zipfile.ZipFile(entry.path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as problem:
        return f"the archive cannot be read: {shown(problem)}"
    if sum(member.file_size for member in members) > MAX_ARCHIVE_RATIO * max(entry.size, 1):
        return f"the archive unpacks to more than {MAX_ARCHIVE_RATIO} times its size"
    if any(member.flag_bits & 1 for member in members):
        return "the archive is encrypted"
    if any(m.filename.endswith(".pkl") and m.file_size > MAX_PICKLE_BYTES for m in members):
        return f"the archive holds a pickle of more than {MAX_PICKLE_BYTES} bytes"
    return ""
