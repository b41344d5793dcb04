"""Evidence to verdict: every rule that decides stands in this room."""

from __future__ import annotations

from .judging import as_gaps, by_weight, gaps, headline, judge, strongest, suspicion
from .of_changes import change_finding, change_strength
from .of_hidden import hidden_finding, hidden_strength
from .of_triggers import strength, trigger_finding
from .rule_ids import CONFIRMS, MISFIT, OF_CHANGES

__all__ = [
    "CONFIRMS",
    "MISFIT",
    "OF_CHANGES",
    "as_gaps",
    "by_weight",
    "change_finding",
    "change_strength",
    "gaps",
    "headline",
    "hidden_finding",
    "hidden_strength",
    "judge",
    "strength",
    "strongest",
    "suspicion",
    "trigger_finding",
]
