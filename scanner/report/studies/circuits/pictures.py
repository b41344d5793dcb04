"""What is drawn of a circuit and of an attribution graph: geometry only, in SVG units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ....studies.circuits import AttributionGraph, CircuitStudy, Component, GraphNode
from ...escaping import visible

SIDE = 18  # one head or MLP of the heat map
GAP = 14
LEFT, TOP = 64, 34
NODES, EDGES = 90, 260  # drawn at most: the strongest
COLUMN, ROW = 84, 76
LABEL = 12  # characters of a token
STEPS = 6  # shades


class Cell(NamedTuple):
    """One component of the heat map; `shade` is a class, `text` its title."""

    x: int
    y: int
    shade: str
    inside: bool
    text: str


class Label(NamedTuple):
    """A text at a place."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """Layers from bottom to top, groups of positions from left to right, heads and MLP side by side."""

    width: int
    height: int
    cells: list[Cell]
    layers: list[Label]
    groups: list[Label]


class Dot(NamedTuple):
    """A node of the graph."""

    x: float
    y: float
    radius: float
    kind: str
    text: str


class Line(NamedTuple):
    """An edge of the graph; `sign` is a class."""

    x1: float
    y1: float
    x2: float
    y2: float
    sign: str
    opacity: float


@dataclass(frozen=True, kw_only=True)
class GraphPicture:
    """Positions from left to right, layers from bottom to top, tokens below and logits above."""

    width: int
    height: int
    dots: list[Dot]
    lines: list[Line]
    tokens: list[Label]
    layers: list[Label]
    named: list[Label]
    left_out: tuple[int, int]


def strength(component: Component) -> float:
    """How much a component carries: the mean of lost and gained, or what the screen foretells."""
    if component.lost is not None and component.gained is not None:
        return (component.lost + component.gained) / 2
    return component.screened or 0.0


def shade(value: float) -> str:
    """The class that colours a strength; from a full effect on the darkest. Below 0 it works against the effect.

    >>> shade(0.0), shade(1.2), shade(0.03), shade(-0.4)
    ('shade0', 'shade5', 'shade1', 'against')
    """
    if value <= -0.02:
        return "against"
    limits = (0.01, 0.05, 0.12, 0.3, 0.6)
    return f"shade{sum(value >= limit for limit in limits)}"


def heat_map(study: CircuitStudy) -> HeatMap:
    """Every component of a circuit's grid."""
    wide = (study.heads + 1) * SIDE
    columns = {group: LEFT + n * (wide + GAP) for n, group in enumerate(study.groups)}
    rows = {layer: TOP + (study.layers - 1 - layer) * (SIDE + 6) for layer in range(study.layers)}
    cells = []
    for component in study.components:
        place = study.heads if component.part == "mlp" else int(component.part.split()[-1])
        exact = (
            ""
            if component.lost is None
            else f", lost without it {component.lost:.0%}, gained by it {component.gained:.0%}"
        )
        foretold = "" if component.screened is None else f": foretold {component.screened:.0%}"
        cells.append(
            Cell(
                x=columns[component.group] + place * SIDE,
                y=rows[component.layer],
                shade=shade(strength(component)),
                inside=component.in_circuit,
                text=f"layer {component.layer}, {component.part}, {component.group}{foretold}{exact}",
            )
        )
    cells.sort(key=lambda cell: cell.inside)  # outlines of members are drawn over their neighbours
    return HeatMap(
        width=LEFT + len(study.groups) * (wide + GAP),
        height=TOP + study.layers * (SIDE + 6) + 10,
        cells=cells,
        layers=[Label(LEFT - 10, y + 13, f"layer {layer}") for layer, y in rows.items()],
        groups=[Label(x + wide / 2, TOP - 12, group) for group, x in columns.items()],
    )


def graph_picture(graph: AttributionGraph) -> GraphPicture:
    """The most influential nodes of a graph and the strongest edges between them."""
    kept = sorted(graph.nodes, key=lambda node: -node.influence)
    always = [n for n in kept if n.kind in ("token", "logit")]
    chosen = always + [n for n in kept if n.kind not in ("token", "logit")][: max(0, NODES - len(always))]
    layers = max(node.layer for node in graph.nodes)
    columns = {p: n for n, p in enumerate(sorted({node.position for node in chosen}))}
    stacks: dict[tuple[int, int], list[GraphNode]] = {}
    for node in chosen:
        stacks.setdefault((node.layer, node.position), []).append(node)
    height = TOP + (layers + 2) * ROW
    place: dict[int, tuple[float, float]] = {}
    for (layer, position), members in stacks.items():
        for n, node in enumerate(members):
            across, down = n % 5, n // 5
            spread = (across - (min(5, len(members)) - 1) / 2) * 14
            place[node.id] = (
                LEFT + columns[position] * COLUMN + COLUMN / 2 + spread,
                height - ROW - (layer + 1) * ROW - down * 13,
            )
    strongest = sorted(
        (edge for edge in graph.edges if edge.source in place and edge.target in place),
        key=lambda edge: -abs(edge.weight),
    )
    largest = abs(strongest[0].weight) if strongest else 1.0
    shown = strongest[:EDGES]
    top = max(node.influence for node in chosen if node.kind != "logit") if len(chosen) > 1 else 1.0
    return GraphPicture(
        width=LEFT + len(columns) * COLUMN + 20,
        height=height,
        dots=[_dot(node, place[node.id], top, graph) for node in chosen],
        lines=[
            Line(
                *place[e.source],
                *place[e.target],
                "for" if e.weight > 0 else "against",
                round(0.12 + 0.8 * (abs(e.weight) / largest) ** 0.5, 2),
            )
            for e in reversed(shown)
        ],
        tokens=[
            Label(LEFT + n * COLUMN + COLUMN / 2, height - ROW + 24, _short(graph.tokens[p]))
            for p, n in columns.items()
        ],
        layers=[
            Label(LEFT - 12, height - ROW - (layer + 1) * ROW + 4, f"layer {layer}")
            for layer in range(layers)
        ],
        named=[
            Label(place[n.id][0], place[n.id][1] - 12, _short(n.text)) for n in chosen if n.kind == "logit"
        ][:3],
        left_out=(len(graph.nodes) - len(chosen), len(graph.edges) - len(shown)),
    )


def _short(text: str) -> str:
    """A token as a label; what is hidden in it is spelt out, and the whole of it stands in the table below."""
    shown = visible(text[:LABEL])
    return f"{shown}…" if len(text) > LABEL else shown


def _dot(node: GraphNode, place: tuple[float, float], top: float, graph: AttributionGraph) -> Dot:
    influence = min(1.0, node.influence / top) if top else 0.0
    title = f"{node.kind} {node.text!r} at token {node.position} {graph.tokens[node.position]!r}"
    if node.layer >= 0 and node.kind != "logit":
        title += f", layer {node.layer}"
    return Dot(
        *place, round(3 + 4 * influence**0.5, 1), node.kind, f"{title}, influence {node.influence:.3f}"
    )
