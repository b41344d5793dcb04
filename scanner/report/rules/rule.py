"""One rule of the catalogue: what a finding of it means, why that matters, what to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule. `severity` is in [0, 10], the scale of code-scanning services; above 9 is critical."""

    id: str
    title: str
    meaning: str
    why: str
    advice: str
    severity: float
