"""Chat templates that change with what a message says: a backdoor that needs no weights.

The Jinja tree is read, the template is never rendered here. Asking what type the content has, or
whether there is any, is ordinary. Comparing it with a text is not, except with a markup tag such as
`</think>`, which reasoning models cut out; that is a note.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
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
from .template_structure import clocks, costs, escapes
from .wording import listed, shown

MAX_TEMPLATE_BYTES = 2**18
TYPE_TESTS = frozenset(
    {
        "string",
        "none",
        "defined",
        "undefined",
        "iterable",
        "mapping",
        "sequence",
        "number",
        "boolean",
        "true",
        "false",
    }
)
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
            literals = conditions_on_content(template)
            findings += _structure_findings(parse_template(template), shown(name))
        except (TemplateError, RecursionError, ValueError, OverflowError) as problem:
            findings.append(_not_checked(name, f"{type(problem).__name__}: {shown(problem)}"))
            continue
        ordinary = {text for text in literals if MARKUP.fullmatch(text)}
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


def conditions_on_content(template: str) -> set[str]:
    """What the template compares message contents with; `?` where that is no literal.

    Raises:
        jinja2.TemplateError: the template does not parse.
    """
    tree = parse_template(template)
    tainted = _names_from_content(tree)
    found: set[str] = set()
    for node in tree.find_all((nodes.Compare, nodes.Call, nodes.Test, nodes.Filter, nodes.Getitem)):
        found.update(_compared(node, tainted))
    return found


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


def _is_content(node: nodes.Node, tainted: set[str]) -> bool:
    """Whether the expression's value comes from a message's content."""
    for part in (node, *node.find_all((nodes.Getattr, nodes.Getitem, nodes.Name, nodes.Filter))):
        if isinstance(part, nodes.Getattr) and part.attr == "content":
            return True
        if (
            isinstance(part, nodes.Getitem)
            and isinstance(part.arg, nodes.Const)
            and part.arg.value == "content"
        ):
            return True
        if isinstance(part, nodes.Name) and part.name in tainted:
            return True
        if isinstance(part, nodes.Filter) and _takes_content(part):
            return True
    return False


def _takes_content(part: nodes.Filter) -> bool:
    """Whether a filter turns whole messages into their contents: `messages | map(attribute="content")`."""
    if part.name == "map":
        arguments = [*part.args, *(keyword.value for keyword in part.kwargs)]
        return any(isinstance(value, nodes.Const) and value.value == "content" for value in arguments)
    whole = isinstance(part.node, nodes.Name) and part.node.name in ("messages", "message")
    return whole and part.name in ("string", "tojson", "pprint")


def _names_from_content(tree: nodes.Template) -> set[str]:
    """Variables that hold a message's content, followed through assignments and loops."""
    tainted: set[str] = set()
    assignments: list[nodes.Assign | nodes.AssignBlock | nodes.For] = [
        *tree.find_all(nodes.Assign),
        *tree.find_all(nodes.AssignBlock),
        *tree.find_all(nodes.For),
    ]
    for _ in range(4):
        for node in assignments:
            if isinstance(node, nodes.For):
                source: nodes.Node = node.iter
            elif isinstance(node, nodes.Assign):
                # `set x = a if condition else b`: the condition is no part of the value.
                source = node.node
            else:
                source = node
            values = [source.expr1, source.expr2] if isinstance(source, nodes.CondExpr) else [source]
            if any(_is_content(value, tainted) for value in values if value is not None):
                tainted |= {
                    name.name
                    for name in (node.target, *node.target.find_all(nodes.Name))
                    if isinstance(name, nodes.Name)
                }
    return tainted


def _literals(parts: Sequence[nodes.Node]) -> set[str]:
    """The texts and numbers among the parts; `?` where a part is neither."""
    found: set[str] = set()
    for part in parts:
        if isinstance(part, nodes.Const):
            if part.value not in (None, "", 0, True, False):
                found.add(str(part.value))
        elif isinstance(part, (nodes.List, nodes.Tuple)):
            found |= _literals(list(part.items))
        else:
            found.add("?")
    return found


def _compared(node: nodes.Node, tainted: set[str]) -> set[str]:
    """What one expression compares content with; empty where it does not, or only asks for its type."""
    if isinstance(node, nodes.Compare):
        sides = [node.expr, *(operand.expr for operand in node.ops)]
        others = [side for side in sides if not _is_content(side, tainted)]
        return _literals(others) if len(others) < len(sides) else set()
    if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr):
        method = node.node.attr
        if method in ("startswith", "endswith", "find", "index", "count", "rfind", "__contains__"):
            return _literals(list(node.args)) if _is_content(node.node.node, tainted) else set()
        if method == "get" and any(_is_content(argument, tainted) for argument in node.args[:1]):
            return {"?"}
    if isinstance(node, nodes.Test) and node.name not in TYPE_TESTS and _is_content(node.node, tainted):
        return _literals(list(node.args or [])) or {"?"}
    if isinstance(node, nodes.Filter) and node.name in ("selectattr", "rejectattr"):
        texts = [argument.value for argument in node.args if isinstance(argument, nodes.Const)]
        if texts[:1] == ["content"] and len(texts) > 2:
            return {str(text) for text in texts[2:]}
    if isinstance(node, nodes.Getitem) and _is_content(node.arg, tainted):
        return {"?"}
    return set()
