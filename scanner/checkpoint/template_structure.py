"""What a chat template is built of, apart from message contents: ways out of the sandbox, endless work, clocks.

The Jinja tree is read, the template is never rendered here. A renderer that is no sandbox runs what
an escape asks for (CVE-2024-34359), and sandboxes have had holes (CVE-2024-56326).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from jinja2 import nodes

MAX_REPEATS = 100_000
HUGE = 2**63
WIDTH = re.compile(r"%[-+ 0#]*\d{6,}|[:<>^=]\d{6,}[a-z]?\}")
INTERNAL = re.compile(
    r"__(class|bases?|mro|subclasses|globals|builtins|init|import|dict|code|closure|getattribute|reduce(_ex)?|self)__"
)
FRAMES = frozenset(
    {"mro", "func_globals", "func_code", "gi_frame", "cr_frame", "f_globals", "f_builtins", "f_back"}
)
CLOCKS = frozenset({"strftime_now", "now", "time", "today", "utcnow"})


def escapes(tree: nodes.Template) -> set[str]:
    """What reaches for Python's internals, or for other templates."""
    found: set[str] = set()
    called = {id(call.node) for call in tree.find_all(nodes.Call)}
    for node in tree.find_all((nodes.Getattr, nodes.Const, nodes.Filter, nodes.TemplateData)):
        if isinstance(node, nodes.Getattr):
            if node.attr.startswith("__") or node.attr in FRAMES:
                found.add(node.attr)
            elif node.attr in ("format", "format_map") and id(node) not in called:
                found.add(f"{node.attr} that is not called on the spot")
        elif isinstance(node, nodes.Const) and isinstance(node.value, str) and INTERNAL.search(node.value):
            found.add(node.value)
        elif isinstance(node, nodes.Filter) and node.name == "attr":
            found.add("the filter attr")
    if any(_is_put_together(taken.arg) for taken in tree.find_all(nodes.Getitem)):
        found.add("a key that is put together from texts")
    for other in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
        found.add(f"{type(other).__name__.lower()} of another template")
    return found


def costs(tree: nodes.Template) -> set[str]:
    """Loops and repetitions with more than `MAX_REPEATS` rounds that do not depend on the messages."""
    found: set[str] = set()
    stack: list[tuple[nodes.Node, int]] = [(tree, 1)]
    while stack:
        node, rounds = stack.pop()
        if isinstance(node, nodes.For):
            rounds *= max(1, _count(node.iter))
            if rounds > MAX_REPEATS:
                found.add(f"loops of {rounds:.0e} rounds")
                continue
        stack += [(child, rounds) for child in node.iter_child_nodes()]
    for product in tree.find_all(nodes.Mul):
        if any(_number(side) > MAX_REPEATS for side in (product.left, product.right)):
            found.add("a repetition of a text or a list")
    calls = [call.args for call in tree.find_all(nodes.Call) if _count(call)]
    filters = [used.args for used in tree.find_all(nodes.Filter)]
    if any(_number(argument) > MAX_REPEATS for arguments in (*calls, *filters) for argument in arguments):
        found.add("a very large number in a call")
    if any(isinstance(text.value, str) and WIDTH.search(text.value) for text in tree.find_all(nodes.Const)):
        found.add("a text filled up to a very large width")
    if any(True for _ in tree.find_all(nodes.Pow)):
        found.add("a power")
    return found


def clocks(tree: nodes.Template) -> set[str]:
    """The clocks, and the chance, that a condition of the template depends on."""
    tainted: dict[str, str] = {}
    for _ in range(4):
        for assignment in tree.find_all(nodes.Assign):
            for clock in _clocks_in(assignment.node, tainted):
                tainted |= {name.name: clock for name in _targets(assignment.target)}
    found: set[str] = set()
    for compare in tree.find_all(nodes.Compare):
        found.update(_clocks_in(compare, tainted))
    tests = [branch.test for branch in tree.find_all(nodes.If)]
    tests += [branch.test for branch in tree.find_all(nodes.CondExpr)]
    for test in tests:
        found.update(name for name in _clocks_in(test, {}) if name == "random")
    return found


def _clocks_in(node: nodes.Node, tainted: dict[str, str]) -> Iterator[str]:
    for part in (node, *node.find_all((nodes.Call, nodes.Name, nodes.Filter))):
        if isinstance(part, nodes.Call):
            named = part.node
            name = named.name if isinstance(named, nodes.Name) else getattr(named, "attr", "")
            if name in CLOCKS:
                yield name
        elif isinstance(part, nodes.Name) and part.name in tainted:
            yield tainted[part.name]
        elif isinstance(part, nodes.Filter) and part.name == "random":
            yield "random"


def _targets(target: nodes.Node) -> Iterator[nodes.Name]:
    if isinstance(target, nodes.Name):
        yield target
    yield from target.find_all(nodes.Name)


def _count(node: nodes.Node) -> int:
    """How many rounds `range(...)` or `lipsum(...)` of constants has; 0 for anything else."""
    if not (
        isinstance(node, nodes.Call)
        and isinstance(node.node, nodes.Name)
        and node.node.name in ("range", "lipsum")
    ):
        return 0
    return max((_number(argument) for argument in node.args), default=0)


def _number(node: nodes.Node, depth: int = 20) -> int:
    """The whole number that a constant, or sums and products of constants, stand for; 0 for anything else."""
    if isinstance(node, nodes.Const):
        return min(int(node.value), HUGE) if isinstance(node.value, int) else 0
    if depth and isinstance(node, (nodes.Mul, nodes.Add)):
        left, right = _number(node.left, depth - 1), _number(node.right, depth - 1)
        return min(left * right if isinstance(node, nodes.Mul) else left + right, HUGE)
    return 0


def _is_put_together(key: nodes.Node) -> bool:
    """Whether a key is worked out from constant texts, which hides what it is."""
    if isinstance(key, nodes.Const):
        return False
    works = isinstance(key, (nodes.Concat, nodes.Add, nodes.Mod, nodes.Mul, nodes.Filter, nodes.Call))
    return works and any(isinstance(part.value, str) for part in key.find_all(nodes.Const))
