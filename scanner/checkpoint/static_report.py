"""The files of a folder checked to the last one, whatever is wrong with the others.

`open_checkpoint` stops at the first thing that makes a folder unsafe to read on; this goes on and turns
every such stop into a finding, so that one report names all of them. It is never laxer: what
`open_checkpoint` refuses has a finding here that is no mere note.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import CheckpointError, NothingScannable
from ..findings import Finding, Level
from .adapter_config import read_settings
from .bounded_json import read_object
from .chat_template import difference_findings, template_findings
from .documents import ADAPTER_CONFIG, LOADED, read_documents
from .folder import assemble, check_layout
from .inventory import FileEntry, hash_files, list_files
from .opened import Checkpoint
from .packed_files import file_findings
from .rules import NOT_CHECKED, refused


@dataclass(frozen=True, kw_only=True)
class StaticReport:
    """What the files show.

    Attributes:
        files: SHA-256 of every file by name.
        checkpoint: the folder as a model's, where it is sound.
        nothing: why the folder holds nothing that this scanner reads, if so.
    """

    files: Mapping[str, str] = field(repr=False)
    findings: tuple[Finding, ...]
    checkpoint: Checkpoint | None = None
    nothing: NothingScannable | None = None


def check_files(folder: Path) -> StaticReport:
    """Every check that a checkpoint's files can be given without running anything.

    Raises:
        NothingScannable: no such folder, or an empty one.
    """
    problems: list[CheckpointError] = []
    entries = _listed(folder, problems)
    documents, findings = read_documents(entries, problems.append)
    checkpoint, nothing = None, None
    try:
        if entries or not problems:
            check_layout(folder, entries)
        if entries and all(name in documents for name in LOADED if name in entries):
            checkpoint = assemble(folder, entries, documents)
            findings += checkpoint.findings
    except CheckpointError as problem:
        problems.append(problem)
    except NothingScannable as problem:
        nothing = problem
    findings += template_findings(entries, documents)
    findings += file_findings(entries)
    return StaticReport(
        files=hash_files(entries),
        findings=_all(findings, problems),
        checkpoint=checkpoint,
        nothing=nothing,
    )


def check_adapter(folder: Path, checkpoint: Checkpoint | None) -> StaticReport:
    """The same for an adapter's folder; held against the checkpoint where that one is sound.

    Raises:
        NothingScannable: no such folder, an empty one, or no adapter in it.
    """
    problems: list[CheckpointError] = []
    entries = _listed(folder, problems)
    documents, findings = read_documents(entries, problems.append)
    findings += file_findings(entries)
    try:
        if ADAPTER_CONFIG in documents:
            read_settings(read_object(entries[ADAPTER_CONFIG].path, ADAPTER_CONFIG))
        if checkpoint is not None and not problems:
            from .adapter import open_adapter  # torch comes in only where there is an adapter to match

            open_adapter(folder, checkpoint)
    except CheckpointError as problem:
        problems.append(problem)
    return StaticReport(files=hash_files(entries), findings=_all(findings, problems))


def compare_templates(suspect: Checkpoint, base: Checkpoint) -> list[Finding]:
    """Notes on the chat templates of the suspect that its base does not have."""
    return difference_findings(suspect.templates, base.templates)


def _listed(folder: Path, problems: list[CheckpointError]) -> dict[str, FileEntry]:
    try:
        return list_files(folder, problems.append)
    except CheckpointError as problem:
        problems.append(problem)
        return {}


def _all(findings: list[Finding], problems: list[CheckpointError]) -> tuple[Finding, ...]:
    """The findings and the refusals; a refusal that only repeats what a finding says of the file is left out."""
    said = {(found.rule_id, found.location) for found in findings if found.level is not Level.NOTE}
    stops = [refused(problem) for problem in problems]
    return (
        *(stop for stop in stops if stop.rule_id == NOT_CHECKED or (stop.rule_id, stop.location) not in said),
        *findings,
    )
