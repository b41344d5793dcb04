"""What each stable rule id means and what a reader can do about it.

An id that is not listed here (a detector of another package or a newer scanner wrote it) is described by its own words.
"""

from __future__ import annotations

from typing import Final

from .behaviour import BEHAVIOUR_RULES, INCOMPLETE
from .files import FILE_RULES
from .rule import Rule

__all__ = ["INCOMPLETE", "RULES", "Rule", "find", "rule_for"]

RULES: Final[dict[str, Rule]] = {
    rule.id: rule for rule in sorted((*FILE_RULES, *BEHAVIOUR_RULES), key=lambda rule: rule.id)
}


_OF_FILES: Final = frozenset(rule.id for rule in FILE_RULES)


def rule_for(rule_id: str) -> Rule:
    """The rule of this id; one that is not listed is described by its id alone."""
    return RULES.get(rule_id) or Rule(
        id=rule_id,
        title=f"A finding of the rule {rule_id}",
        meaning="This version of the report has no description of the rule.",
        why="A detector of another package made the finding, or a newer version of the scanner the result.",
        advice="Read the message and what the package says; convert the result with a newer version.",
        severity=5.0,
    )


def find(text: str) -> Rule | None:
    """The rule that a reader means by its id or by the number in front, in capitals or not.

    >>> find("ss104").id
    'SS104-dangerous-pickle'
    """
    wanted = text.strip().lower()
    for rule in RULES.values():
        if wanted in (rule.id.lower(), rule.id.split("-")[0].lower()):
            return rule
    return None


def is_of_files(rule_id: str) -> bool:
    """Whether a rule is about what stands in the files, not about what the model does."""
    return rule_id in _OF_FILES
