"""What a chat template compares the contents of messages with.

Asking what type the content has, or whether there is any, is ordinary and not reported.
"""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import nodes

from .template_flow import Flow, flow_of, is_content

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


def comparisons_with_content(tree: nodes.Template) -> set[str]:
    """The texts and numbers that contents are compared with, searched for or looked up by; `?` for anything else."""
    flow = flow_of(tree)
    found: set[str] = set()
    for node in tree.find_all((nodes.Compare, nodes.Call, nodes.Test, nodes.Filter, nodes.Getitem)):
        found.update(_compared(node, flow))
    return found


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


def _compared(node: nodes.Node, flow: Flow) -> set[str]:
    """What one expression compares content with; empty where it does not, or only asks for its type."""
    if isinstance(node, nodes.Compare):
        sides = [node.expr, *(operand.expr for operand in node.ops)]
        others = [side for side in sides if not is_content(side, flow)]
        return _literals(others) if len(others) < len(sides) else set()
    if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr):
        method = node.node.attr
        if method in ("replace", "split", "rsplit", "partition", "rpartition"):
            return _literals(list(node.args[:1])) if is_content(node.node.node, flow) else set()
        if method in ("startswith", "endswith", "find", "index", "count", "rfind", "__contains__"):
            return _literals(list(node.args)) if is_content(node.node.node, flow) else set()
        if method == "get" and any(is_content(argument, flow) for argument in node.args[:1]):
            return {"?"}
    if isinstance(node, nodes.Test) and node.name not in TYPE_TESTS and is_content(node.node, flow):
        return _literals(list(node.args or [])) or {"?"}
    if isinstance(node, nodes.Filter) and node.name in ("selectattr", "rejectattr"):
        texts = [argument.value for argument in node.args if isinstance(argument, nodes.Const)]
        if texts[:1] == ["content"] and len(texts) > 2:
            return {str(text) for text in texts[2:]}
    if isinstance(node, nodes.Filter) and node.name == "replace" and node.node is not None:
        return _literals(list(node.args[:1])) if is_content(node.node, flow) else set()
    if isinstance(node, nodes.Getitem) and is_content(node.arg, flow):
        return {"?"}
    return set()
