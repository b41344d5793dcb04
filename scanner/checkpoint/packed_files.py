"""Findings about files that are neither JSON nor safetensors: code, other formats, pickles and archives."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from ..findings import Finding, Level
from .archives import ArchiveReport, inspect_archive
from .inventory import FileEntry
from .kinds import PICKLE_SUFFIXES, Kind
from .numpy_arrays import MAX_HEADER_BYTES, read_array_header
from .pickles import PickleReport, inspect_stream
from .rules import (
    ARCHIVE_TRICK,
    CODE_FILE,
    DANGEROUS_PICKLE,
    NOT_CHECKED,
    OBJECT_ARRAY,
    OTHER_FORMAT,
    PICKLE_FILE,
    UNKNOWN_GLOBALS,
    finding,
)
from .wording import listed, shown

MAX_LISTED = 50
PACKED = (Kind.PICKLE, Kind.ZIP, Kind.ARCHIVE)


def file_findings(entries: Mapping[str, FileEntry]) -> list[Finding]:
    """What to know about every file that no parser of this room reads."""
    findings: list[Finding] = []
    code = [name for name, entry in entries.items() if entry.kind is Kind.CODE]
    if code:
        findings.append(
            finding(
                CODE_FILE,
                Level.WARNING,
                f"the folder holds program code, which was not run: {listed(code)}",
                shown(code[0]),
                files=[shown(name) for name in code[:MAX_LISTED]],
            )
        )
    other = [name for name, entry in entries.items() if entry.kind is Kind.OTHER_WEIGHTS]
    if other:
        findings.append(
            finding(
                OTHER_FORMAT,
                Level.WARNING,
                f"these weights are in a format that is not scanned here: {listed(other)}",
                shown(other[0]),
                files=[shown(name) for name in other[:MAX_LISTED]],
            )
        )
    for entry in entries.values():
        findings += _unpickled(entry)
    return findings


def dangerous_globals(entries: Mapping[str, FileEntry]) -> set[str]:
    """The globals known to run code that the packed files among `entries` name."""
    named: set[str] = set()
    for entry in entries.values():
        if entry.kind is Kind.ZIP:
            named |= inspect_archive(entry).dangerous
        elif entry.kind is Kind.PICKLE:
            named |= set(_pickle(entry).dangerous)
    return named


def _unpickled(entry: FileEntry) -> Iterator[Finding]:
    """Findings about one file that a loader might unpickle."""
    name = shown(entry.name)
    if entry.kind is Kind.ZIP:
        yield from _archive_findings(inspect_archive(entry), name)
    elif entry.kind is Kind.PICKLE:
        yield from _pickle_findings(_pickle(entry), name)
    elif entry.kind is Kind.NUMPY:
        yield from _array_findings(entry, name)
    elif entry.kind is Kind.ARCHIVE or (
        entry.suffix in PICKLE_SUFFIXES and entry.kind not in (Kind.EMPTY, Kind.OTHER_WEIGHTS, Kind.CODE)
    ):
        yield _not_checked(f"its content is {entry.kind.value}, which is not taken apart here", name)


def _pickle(entry: FileEntry) -> PickleReport:
    with entry.path.open("rb") as file:
        return inspect_stream(file, entry.size, entry.name)


def _archive_findings(report: ArchiveReport, name: str) -> Iterator[Finding]:
    if report.tricks:
        yield finding(
            ARCHIVE_TRICK,
            Level.ERROR,
            f"the archive is made to deceive: {'; '.join(report.tricks[:3])}; it was not unpacked",
            name,
            tricks=report.tricks[:MAX_LISTED],
        )
    if report.code:
        yield finding(
            CODE_FILE,
            Level.WARNING,
            f"the archive holds program code, which was not run: {listed(report.code)}",
            name,
            files=report.code[:MAX_LISTED],
        )
    if report.object_arrays:
        yield _object_array(name, report.object_arrays)
    summary = PickleReport(
        dangerous=tuple(sorted(report.dangerous)),
        unknown=tuple(sorted(report.unknown)),
        problem="; ".join(report.problems[:3]),
    )
    if not (report.tricks or report.code or report.object_arrays) or summary != PickleReport():
        yield from _pickle_findings(summary, name)


def _pickle_findings(report: PickleReport, name: str) -> Iterator[Finding]:
    if report.dangerous:
        yield finding(
            DANGEROUS_PICKLE,
            Level.ERROR,
            f"loading this file runs code: it names {listed(report.dangerous)}; it was not loaded",
            name,
            globals=list(report.dangerous[:MAX_LISTED]),
        )
    if report.unknown:
        yield finding(
            UNKNOWN_GLOBALS,
            Level.WARNING,
            f"loading this file imports what training code does not need: {listed(report.unknown)}; it was not loaded",
            name,
            globals=list(report.unknown[:MAX_LISTED]),
        )
    if report.problem:
        yield _not_checked(report.problem, name)
    if report == PickleReport():
        yield finding(
            PICKLE_FILE,
            Level.NOTE,
            "this pickle was not loaded; loaders that are told to take safetensors skip it",
            name,
        )


def _array_findings(entry: FileEntry, name: str) -> Iterator[Finding]:
    with entry.path.open("rb") as file:
        try:
            header = read_array_header(file.read(MAX_HEADER_BYTES + 12))
        except ValueError as problem:
            yield _not_checked(str(problem), name)
            return
        if not header.holds_objects:
            return
        yield _object_array(name, [name])
        file.seek(header.data_start)
        report = inspect_stream(file, entry.size - header.data_start, entry.name)
    if report != PickleReport():
        yield from _pickle_findings(report, name)


def _object_array(name: str, arrays: Collection[str]) -> Finding:
    return finding(
        OBJECT_ARRAY,
        Level.WARNING,
        f"an array of Python objects is a pickle, and loading it can run code: {listed(arrays)}; it was not loaded",
        name,
        arrays=sorted(arrays)[:MAX_LISTED],
    )


def _not_checked(problem: str, name: str) -> Finding:
    return finding(NOT_CHECKED, Level.WARNING, f"could not be checked: {problem}", name)
