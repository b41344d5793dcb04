"""What lies in a zip archive: read member by member inside bounds, never unpacked to disk.

Zip readers disagree where the file contradicts itself, so a contradiction is reported and not resolved:
a member said twice, a name that its own header says otherwise, data in front of the archive
(CVE-2025-1944, CVE-2025-1945, CVE-2025-10155 to -10157).
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from picklescan.scanner import SafetyLevel, scan_bytes

from .inventory import FileEntry
from .kinds import Kind, sniff_bytes
from .numpy_arrays import read_array_header
from .ordinary_globals import is_ordinary
from .pickles import PickleReport, inspect_stream, silent
from .wording import listed, shown

MAX_RATIO = 100
MAX_MEMBERS = 20_000
MAX_PICKLED = 8 * 2**20  # bytes in all pickles of one archive
WINDOW = 2**16  # bytes by which a member is judged


@dataclass(kw_only=True)
class ArchiveReport:
    """What was seen in one archive.

    Attributes:
        tricks: contradictions, and names that lead out of the folder it is unpacked to.
        code: members that are program code.
        object_arrays: members that are arrays of pickled objects.
        problems: why something in it could not be read.
        pickled: bytes in its pickles so far.
    """

    tricks: list[str] = field(default_factory=list)
    code: list[str] = field(default_factory=list)
    object_arrays: list[str] = field(default_factory=list)
    dangerous: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    pickled: int = 0

    def take(self, report: PickleReport, name: str) -> None:
        """Add what one pickle in the archive names."""
        self.dangerous |= set(report.dangerous)
        self.unknown |= set(report.unknown)
        if report.problem:
            self.problems.append(f"{shown(name)}: {report.problem}")


def inspect_archive(entry: FileEntry) -> ArchiveReport:
    """Every member's kind, and what its pickles name."""
    report = ArchiveReport()
    try:
        with zipfile.ZipFile(entry.path) as archive:
            members = archive.infolist()
            report.problems += _too_much(members, entry.size)
            if not report.problems:
                report.tricks += _tricks(members)
                for member in members:
                    _member(archive, member, report)
    except Exception as problem:  # zlib, struct and others, whatever a hostile archive sets off
        report.problems.append(f"the archive cannot be read: {shown(problem)}")
        return report
    if (report.tricks or report.problems) and not _over_bounds(report):
        _second_opinion(entry, report)
    return report


def _over_bounds(report: ArchiveReport) -> bool:
    return any(problem.startswith("the archive") or "taken apart" in problem for problem in report.problems)


def _too_much(members: list[zipfile.ZipInfo], size: int) -> list[str]:
    if len(members) > MAX_MEMBERS:
        return [f"the archive has {len(members)} members, {MAX_MEMBERS} are read"]
    if sum(member.file_size for member in members) > MAX_RATIO * max(size, 1):
        return [f"the archive unpacks to more than {MAX_RATIO} times its size"]
    if any(member.flag_bits & 1 for member in members):
        return ["the archive is encrypted"]
    return []


def _tricks(members: list[zipfile.ZipInfo]) -> list[str]:
    names = [member.filename for member in members]
    tricks = []
    outside = [
        name
        for name in names
        if name.startswith(("/", "\\")) or ".." in PurePosixPath(name.replace("\\", "/")).parts
    ]
    if outside:
        tricks.append(f"members would be unpacked outside the folder: {listed(outside)}")
    if len(set(names)) < len(names):
        tricks.append(
            f"members stand twice in it: {listed({name for name in names if names.count(name) > 1})}"
        )
    if members and min(member.header_offset for member in members) > 0:
        tricks.append(
            "there are data in front of its first member, which readers may take for another archive"
        )
    links = [member.filename for member in members if (member.external_attr >> 28) == 0o12]
    if links:
        tricks.append(f"members are links: {listed(links)}")
    return tricks


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, report: ArchiveReport) -> None:
    name = member.filename
    if member.is_dir():
        return
    try:
        with archive.open(member) as file:
            start = file.read(WINDOW)
        kind = sniff_bytes(start, name)
        if kind is Kind.PICKLE or name.endswith(".pkl"):
            report.pickled += member.file_size
            if report.pickled > MAX_PICKLED:
                report.problems.append(f"the archive's pickles have more than {MAX_PICKLED} bytes")
                return
            with archive.open(member) as file:
                report.take(inspect_stream(file, member.file_size, name), name)  # type: ignore[arg-type]
        elif kind is Kind.NUMPY:
            _array(archive, member, start, report)
        elif kind is Kind.CODE:
            report.code.append(shown(name))
        elif kind in (Kind.ZIP, Kind.ARCHIVE):
            report.problems.append(f"{shown(name)} in it is an archive itself, which was not opened")
    except Exception as problem:  # zlib, struct and others, whatever a hostile archive sets off
        if "differ" in str(problem):
            report.tricks.append(f"{shown(name)} has another name in its own header")
        else:
            report.problems.append(f"{shown(name)} cannot be read: {shown(problem)}")


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, start: bytes, report: ArchiveReport) -> None:
    header = read_array_header(start)
    if not header.holds_objects:
        return
    report.object_arrays.append(shown(member.filename))
    with archive.open(member) as file:
        file.read(header.data_start)
        report.take(inspect_stream(file, member.file_size, member.filename), member.filename)  # type: ignore[arg-type]


def _second_opinion(entry: FileEntry, report: ArchiveReport) -> None:
    """What picklescan sees, whose zip reader passes over contradictions that stop the one above."""
    try:
        with silent(), entry.path.open("rb") as file:
            found = scan_bytes(file, shown(entry.name), ".zip").globals
    except Exception as problem:  # whatever a hostile archive makes the library trip over
        report.problems.append(f"the archive cannot be read: {type(problem).__name__}: {shown(problem)}")
        return
    report.dangerous |= {shown(f"{g.module}.{g.name}") for g in found if g.safety is SafetyLevel.Dangerous}
    report.unknown |= {
        shown(f"{g.module}.{g.name}")
        for g in found
        if g.safety is SafetyLevel.Suspicious and not is_ordinary(g.module, g.name)
    }
