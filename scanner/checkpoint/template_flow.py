"""Where the contents of messages go in a chat template: through assignments, loops, namespaces and macros."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from jinja2 import nodes

ROUNDS = 4  # of following names to names
# What a part of a message is, as against what it says.
LABELS = frozenset({"type", "role", "name", "id", "tool_calls", "tool_call_id"})


@dataclass(kw_only=True)
class Flow:
    """The names that hold contents (`ns.x` for a field of a namespace), and those that hold whole messages."""

    contents: set[str] = field(default_factory=set)
    messages: set[str] = field(default_factory=lambda: {"messages", "message"})


def flow_of(tree: nodes.Template) -> Flow:
    """The names of the template, followed from name to name; blocks and macros share one space of names."""
    flow = Flow()
    macros = {macro.name: macro for macro in tree.find_all(nodes.Macro)}
    for _ in range(ROUNDS):
        for target, value in _assignments(tree):
            names = set(_names(target))
            if is_content(value, flow):
                flow.contents |= names
            elif _is_message(value, flow):
                flow.messages |= names
        for call in tree.find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name in macros:
                _enter(macros[call.node.name], call, flow)
    return flow


def is_content(node: nodes.Node, flow: Flow) -> bool:
    """Whether the expression's value comes from a message's content."""
    stack = [node]
    while stack:
        part = stack.pop()
        key = _key(part)
        if key is not None:
            if key == "content" or f"{_name(part.node)}.{key}" in flow.contents:  # type: ignore[attr-defined]
                return True
            if key in LABELS:
                continue
        if isinstance(part, nodes.Name) and part.name in flow.contents:
            return True
        if isinstance(part, nodes.Filter) and _takes_content(part, flow):
            return True
        if (
            isinstance(part, nodes.Call)
            and isinstance(part.node, nodes.Getattr)
            and part.node.attr in ("values", "items")
            and _is_message(part.node.node, flow)
        ):
            return True
        stack += part.iter_child_nodes()
    return False


def _assignments(tree: nodes.Template) -> Iterator[tuple[nodes.Node, nodes.Node]]:
    """Every (target, value); the condition of `a if condition else b` is no part of the value."""
    for node in tree.find_all(nodes.Assign):
        if isinstance(node.node, nodes.CondExpr):
            yield node.target, node.node.expr1
            if node.node.expr2 is not None:
                yield node.target, node.node.expr2
        else:
            yield node.target, node.node
    for loop in tree.find_all(nodes.For):
        yield loop.target, loop.iter
    for block in tree.find_all(nodes.AssignBlock):
        for child in block.body:
            yield block.target, child


def _enter(macro: nodes.Macro, call: nodes.Call, flow: Flow) -> None:
    """Follow the arguments of a call into the macro."""
    given = [(argument.name, value) for argument, value in zip(macro.args, call.args, strict=False)]
    given += [(keyword.key, keyword.value) for keyword in call.kwargs]
    for name, value in given:
        if is_content(value, flow):
            flow.contents.add(name)
        elif _is_message(value, flow):
            flow.messages.add(name)


def _names(target: nodes.Node) -> Iterator[str]:
    for part in (target, *target.find_all((nodes.Name, nodes.NSRef))):
        if isinstance(part, nodes.Name):
            yield part.name
        elif isinstance(part, nodes.NSRef):
            yield f"{part.name}.{part.attr}"


def _key(node: nodes.Node) -> str | None:
    """The constant text by which the node takes a field."""
    if isinstance(node, nodes.Getattr):
        return node.attr
    if (
        isinstance(node, nodes.Getitem)
        and isinstance(node.arg, nodes.Const)
        and isinstance(node.arg.value, str)
    ):
        return node.arg.value
    return None


def _name(node: nodes.Node) -> str:
    return node.name if isinstance(node, nodes.Name) else ""


def _is_message(node: nodes.Node, flow: Flow) -> bool:
    """Whether the value is a message or several: a name of one, an item or a slice of it, the last of it."""
    inner: nodes.Node | None = node
    while isinstance(inner, (nodes.Getitem, nodes.Filter)):
        if isinstance(inner, nodes.Getitem) and _key(inner) is not None:
            return False
        if isinstance(inner, nodes.Filter) and inner.name not in ("last", "first", "list", "reverse"):
            return False
        inner = inner.node
    return isinstance(inner, nodes.Name) and inner.name in flow.messages


def _takes_content(part: nodes.Filter, flow: Flow) -> bool:
    """Whether a filter turns whole messages into their contents: `messages | map(attribute="content")`."""
    if part.name == "map":
        arguments = [*part.args, *(keyword.value for keyword in part.kwargs)]
        return any(isinstance(value, nodes.Const) and value.value == "content" for value in arguments)
    return (
        part.node is not None and part.name in ("string", "tojson", "pprint") and _is_message(part.node, flow)
    )
