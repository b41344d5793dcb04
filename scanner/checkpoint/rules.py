"""The rule ids under which this room reports, and the one way to make its findings.

A finding leaves the checkpoint scannable. What makes it unscannable is an error of `errors.py`, which
names its rule too; `refused` turns one into a finding for a report over the files alone.
"""

from __future__ import annotations

from typing import Final

from ..errors import CheckpointError, UnsafeCheckpoint
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
DISGUISED_FILE: Final = "SS110-disguised-file"
UNKNOWN_GLOBALS: Final = "SS111-unknown-globals"
ARCHIVE_TRICK: Final = "SS112-archive-trick"
REDIRECTED_LOADER: Final = "SS113-redirected-loader"
ADAPTER_IMPORTS: Final = "SS114-adapter-imports"
HIDDEN_ADAPTER: Final = "SS115-hidden-adapter"
TEMPLATE_ESCAPE: Final = "SS116-template-escape"
TEMPLATE_COST: Final = "SS117-template-cost"
TEMPLATE_DIFFERS: Final = "SS118-template-differs"
DUPLICATE_KEY: Final = "SS119-duplicate-key"
TOKENIZER_BOUNDS: Final = "SS120-tokenizer-bounds"
OUTSIDE_LINK: Final = "SS121-outside-link"
INDEX_PATH: Final = "SS122-index-path"
FILE_NAME: Final = "SS123-file-name"
OBJECT_ARRAY: Final = "SS124-object-array"
TEMPLATE_ON_CLOCK: Final = "SS125-template-reads-clock"
DAMAGED_WEIGHTS: Final = "SS126-damaged-weights"

_RUNS_CODE: Final = ("MITRE ATLAS AML.T0011.000", "MITRE ATLAS AML.T0010.003")
_SUPPLIED: Final = ("MITRE ATLAS AML.T0010.003",)
_BACKDOOR: Final = (
    "MITRE ATLAS AML.T0018",
    "MITRE ATLAS AML.T0043.004",
    "OWASP LLM04:2025",
    "NISTAML.023",
)

# Every rule, with the entries of public catalogues that its findings carry.
RULES: Final[dict[str, tuple[str, ...]]] = {
    REMOTE_CODE: _RUNS_CODE,
    CODE_FILE: _RUNS_CODE,
    PICKLE_FILE: _RUNS_CODE,
    DANGEROUS_PICKLE: _RUNS_CODE,
    NOT_CHECKED: _SUPPLIED,
    OTHER_FORMAT: _SUPPLIED,
    UNREAD_WEIGHTS: _SUPPLIED,
    TEMPLATE_ON_CONTENT: _BACKDOOR,
    TOKENIZER_PATTERN: _SUPPLIED,
    DISGUISED_FILE: _RUNS_CODE,
    UNKNOWN_GLOBALS: _RUNS_CODE,
    ARCHIVE_TRICK: _RUNS_CODE,
    REDIRECTED_LOADER: _SUPPLIED,
    ADAPTER_IMPORTS: _RUNS_CODE,
    HIDDEN_ADAPTER: ("MITRE ATLAS AML.T0018", "MITRE ATLAS AML.T0010.003"),
    TEMPLATE_ESCAPE: _RUNS_CODE,
    TEMPLATE_COST: _SUPPLIED,
    TEMPLATE_DIFFERS: _BACKDOOR,
    DUPLICATE_KEY: _SUPPLIED,
    TOKENIZER_BOUNDS: _SUPPLIED,
    OUTSIDE_LINK: _SUPPLIED,
    INDEX_PATH: _SUPPLIED,
    FILE_NAME: _SUPPLIED,
    OBJECT_ARRAY: _RUNS_CODE,
    TEMPLATE_ON_CLOCK: _BACKDOOR,
    DAMAGED_WEIGHTS: _SUPPLIED,
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
        taxonomy=list(RULES[rule_id]),
    )


def refused(problem: CheckpointError) -> Finding:
    """The finding that a refusal amounts to: an error where something is hostile, else a warning."""
    level = Level.ERROR if isinstance(problem, UnsafeCheckpoint) else Level.WARNING
    return finding(problem.rule_id, level, str(problem), problem.location)
