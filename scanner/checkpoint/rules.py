"""The rule ids under which this room reports, and the one way to make its findings.

A finding leaves the checkpoint scannable. What makes it unscannable is an error of `errors.py`.
"""

from __future__ import annotations

from typing import Final

from ..findings import Finding, Level

REMOTE_CODE: Final = "SS101-remote-code"
CODE_FILE: Final = "SS102-code-file"
PICKLE_FILE: Final = "SS103-pickle-file"
DANGEROUS_PICKLE: Final = "SS104-dangerous-pickle"
NOT_CHECKED: Final = "SS105-not-checked"
OTHER_FORMAT: Final = "SS106-other-format"
UNREAD_WEIGHTS: Final = "SS107-unread-weights"
TEMPLATE_ON_CONTENT: Final = "SS108-template-reads-content"
TOKENIZER_PATTERN: Final = "SS109-tokenizer-pattern"

RULES: Final[dict[str, str]] = {
    REMOTE_CODE: "the configuration asks for code from the repository; it was not run",
    CODE_FILE: "the folder holds program code; it was not run",
    PICKLE_FILE: "the folder holds a pickle beside the safetensors; it was not loaded",
    DANGEROUS_PICKLE: "a pickle in the folder names globals that run code when it is loaded",
    NOT_CHECKED: "a file could not be read whole, so nothing is known about it",
    OTHER_FORMAT: "the folder holds weights in a format that is not scanned here",
    UNREAD_WEIGHTS: "the folder holds weights that no loader reads",
    TEMPLATE_ON_CONTENT: "the chat template changes with what a message says",
    TOKENIZER_PATTERN: "a tokenizer pattern may take exponential time",
}


def finding(
    rule_id: str,
    level: Level,
    message: str,
    location: str = "",
    **evidence: float | int | str | bool | list[str] | None,
) -> Finding:
    """A finding of this room, with the file's name inside the folder as its location."""
    if rule_id not in RULES:
        raise ValueError(f"a rule id must be listed in RULES, got {rule_id}")
    return Finding(
        rule_id=rule_id,
        level=level,
        message=message,
        detector="checkpoint",
        location=location,
        evidence=evidence,
    )
