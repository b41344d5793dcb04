"""Chat templates that change with what a message says: a backdoor that needs no weights.

The Jinja tree is read, the template is never rendered here. Asking what type the content has, or
whether there is any, is ordinary. Comparing it with a text is not, except with a markup tag such as
`</think>`, which reasoning models cut out; that is a note.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ..findings import Finding, Level
from .inventory import FileEntry
from .rules import (
    NOT_CHECKED,
    TEMPLATE_COST,
    TEMPLATE_DIFFERS,
    TEMPLATE_ESCAPE,
    TEMPLATE_ON_CLOCK,
    TEMPLATE_ON_CONTENT,
    finding,
)
from .template_conditions import comparisons_with_content
from .template_structure import clocks, costs, escapes
from .wording import listed, shown

MAX_TEMPLATE_BYTES = 2**18
# Keys by which templates for several media tell the parts of a message apart.
MEDIA = frozenset({"image", "image_url", "video", "audio", "text", "input_audio"})
MARKUP = re.compile(r"\s*<[/|]?[\w|:.-]+>?\s*|\s*\[/?[A-Z_]+\]\s*|\s*")
GENERATION_TAG = re.compile(r"\{%-?\s*(end)?generation\s*-?%\}")


def template_findings(entries: Mapping[str, FileEntry], documents: Mapping[str, Any]) -> list[Finding]:
    """Findings over every chat template that a loader of this folder may use."""
    findings = []
    for name, template in templates_of(entries, documents):
        if template is None or len(template) > MAX_TEMPLATE_BYTES:
            findings.append(_not_checked(name, f"it is no text of at most {MAX_TEMPLATE_BYTES} characters"))
            continue
        try:
            tree = parse_template(template)
            literals = comparisons_with_content(tree)
            findings += _structure_findings(tree, shown(name))
        except (TemplateError, RecursionError, ValueError, OverflowError) as problem:
            findings.append(_not_checked(name, f"{type(problem).__name__}: {shown(problem)}"))
            continue
        ordinary = {text for text in literals if MARKUP.fullmatch(text) or text in MEDIA}
        for level, texts in ((Level.WARNING, literals - ordinary), (Level.NOTE, ordinary)):
            if texts:
                findings.append(
                    finding(
                        TEMPLATE_ON_CONTENT,
                        level,
                        f"the chat template decides by what a message says: {listed(texts)}",
                        name,
                        texts=[shown(text) for text in sorted(texts)],
                    )
                )
    return findings


def difference_findings(suspect: Mapping[str, str], base: Mapping[str, str]) -> list[Finding]:
    """A note for every template of the suspect that its base does not have."""
    known = {text.strip() for text in base.values()}
    return [
        finding(
            TEMPLATE_DIFFERS,
            Level.NOTE,
            "the chat template is not the base's"
            if known
            else "the chat template has none in the base to compare with",
            shown(name),
        )
        for name, text in suspect.items()
        if text.strip() not in known
    ]


def conditions_on_content(template: str) -> set[str]:
    """What the template compares message contents with; `?` where that is no literal.

    Raises:
        jinja2.TemplateError: the template does not parse.
    """
    return comparisons_with_content(parse_template(template))


def parse_template(template: str) -> nodes.Template:
    """The template's tree.

    Raises:
        jinja2.TemplateError: the template does not parse.
    """
    environment = ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols", "jinja2.ext.do"])
    return environment.parse(GENERATION_TAG.sub("", template))


def _structure_findings(tree: nodes.Template, name: str) -> Iterator[Finding]:
    for rule, level, found, says in (
        (TEMPLATE_ESCAPE, Level.ERROR, escapes(tree), "reaches for what no template needs"),
        (TEMPLATE_COST, Level.WARNING, costs(tree), "does endless work"),
        (TEMPLATE_ON_CLOCK, Level.WARNING, clocks(tree), "decides by the clock or by chance"),
    ):
        if found:
            parts = [shown(part) for part in sorted(found)]
            yield finding(
                rule, level, f"the chat template {says}: {listed(found)}; it was not run", name, parts=parts
            )


def templates_of(
    entries: Mapping[str, FileEntry], documents: Mapping[str, Any]
) -> Iterator[tuple[str, str | None]]:
    """Every chat template with the file it lies in; None where it is no text of an allowed length."""
    for name, entry in entries.items():
        if entry.suffix in (".jinja", ".jinja2"):
            text = None
            if entry.size <= MAX_TEMPLATE_BYTES:
                text = entry.path.read_bytes().decode("utf-8", errors="replace")
            yield name, text
    for name in ("tokenizer_config.json", "chat_template.json", "processor_config.json"):
        document = documents.get(name)
        value = document.get("chat_template") if isinstance(document, dict) else None
        if isinstance(value, dict):
            value = [{"template": text} for text in value.values()]
        for item in value if isinstance(value, list) else [{"template": value}] if value else []:
            text = item.get("template") if isinstance(item, dict) else None
            yield name, text if isinstance(text, str) else None


def _not_checked(name: str, reason: str) -> Finding:
    return finding(
        NOT_CHECKED, Level.WARNING, f"the chat template could not be checked: {reason}", shown(name)
    )
