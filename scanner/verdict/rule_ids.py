"""The rules that judge behaviour, by their ids."""

from __future__ import annotations

CONFIRMS = "SS201-verified-trigger"
CHANGES_ANSWERS = "SS207-changed-answers"
WORDING = "SS208-wording-changes-answers"
OF_CHANGES = (CHANGES_ANSWERS, WORDING)
HIDDEN = "SS209-hidden-answer"
COMMON_ENDING = "SS210-common-ending"
MISFIT = "SS302-sae-misfit"  # a given SAE does not belong to this model or layer
# Something could not be checked: a gap, and no suspicion.
UNCHECKED = frozenset(
    {"SS105-not-checked", "SS106-other-format", "SS126-damaged-weights", "SS002-scan-died", MISFIT}
)
HARMLESS = frozenset({"SS203-conditional-rule", "SS205-sensitive-string"})
BACKDOOR = ["MITRE ATLAS AML.T0018", "MITRE ATLAS AML.T0043.004", "OWASP LLM04:2025", "NISTAML.023"]
