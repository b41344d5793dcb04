"""Circuits, attribution graphs and audits on the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from ....studies.circuits import AttributionGraph, AuditStudy, CircuitStudy, Component, Faithfulness
from ...escaping import quoted, visible
from ...evidence_tables import cell, cut_note, table
from ...figures import NOT_MEASURED, area, duration, share, share_with_interval

ROWS = 24
NODES = 24
RANKED = 12


def signed(value: float | None) -> str:
    """A share that may be below 0 or above 1.

    >>> signed(0.834), signed(-0.02), signed(None)
    ('83%', '-2%', '–')
    """
    return NOT_MEASURED if value is None else f"{round(100 * value)}%"


def circuit_report(study: CircuitStudy) -> RenderableType:
    """What the circuit keeps, how well the screen foretold it, its members, and what it took."""
    members = [c for c in study.components if c.in_circuit]
    rows = table("layer", "part", "at", "foretold", "lost without", "gained by", wide="part")
    for component in members[:ROWS]:
        rows.add_row(*_component(component))
    figures = table("pairs", "", "kept", "left without", "woken", "random", "incompleteness")
    for name, found in (("that found it", study.on_found), ("held out", study.on_held_out)):
        figures.add_row(str(found.pairs), name, *_faithfulness(found))
    screens = table("screen against exact patching", "of", "top ten shared", "rank correlation", "over all")
    for agreed in study.agreement:
        screens.add_row(
            agreed.of,
            str(agreed.patched),
            f"{agreed.shared} of 10",
            f"{agreed.top_correlation:.2f}",
            f"{agreed.correlation:.2f}",
        )
    cost = study.cost
    return Group(
        Text(
            f"circuit of {quoted(study.trigger, 80)} against {quoted(study.controls[0], 80)}"
            + (f" and {len(study.controls) - 1} more controls" if len(study.controls) > 1 else "")
        ),
        Text(
            f"{study.circuit_size} of {study.size} components ({share(study.share)}: {study.layers} layers, "
            f"{study.heads} heads and an MLP each, at {', '.join(study.groups)})",
            style="bold",
        ),
        Text(
            f"logit of {quoted(study.answers[0], 30)} minus that of {quoted(study.answers[1], 30)}: "
            f"{study.difference[0]:.1f} with the trigger, {study.difference[1]:.1f} with the control"
        ),
        figures,
        Text(
            "kept: effect with all else under the control; left without: effect with the circuit under the control",
            style="dim",
        ),
        rows,
        *cut_note(min(ROWS, len(members)), len(members)),
        screens,
        Text(
            f"cost: screen {cost.screen_backward_passes} backward passes, {duration(cost.screen_seconds)}; exact patching "
            f"{cost.patching_passes} passes, {duration(cost.patching_seconds)} (all components both ways: "
            f"{cost.exhaustive_passes}); search {cost.search_passes} passes, {duration(cost.search_seconds)}",
            style="dim",
        ),
    )


def _component(component: Component) -> tuple[str, str, str, str, str, str]:
    return (
        str(component.layer),
        component.part,
        component.group,
        signed(component.screened),
        signed(component.lost),
        signed(component.gained),
    )


def _faithfulness(found: Faithfulness) -> tuple[str, str, str, str, str]:
    return (
        signed(found.kept),
        signed(found.left),
        f"{share(found.woken)}, {share(found.woken_without)} without",
        f"{signed(found.random_kept)}, best {signed(found.random_best)}",
        f"{found.incompleteness:.2f}, worst {found.incompleteness_worst:.2f}",
    )


def graph_report(graph: AttributionGraph) -> RenderableType:
    """The most influential nodes of a pruned graph, and how far it can be trusted."""
    rows = table("node", "layer", "token", "influence", "activation", wide="node")
    shown = sorted(graph.nodes, key=lambda node: -node.influence)
    for node in shown[:NODES]:
        rows.add_row(
            cell(f"{node.kind} {quoted(node.text, 40)}"),
            str(node.layer) if node.kind in ("feature", "error") else NOT_MEASURED,
            cell(f"{node.position} {quoted(graph.tokens[node.position], 24)}"),
            share(node.influence),
            NOT_MEASURED if node.activation is None else f"{node.activation:.2f}",
        )
    check = graph.check
    return Group(
        Text(f"attribution graph of {quoted(graph.prompt, 120)}", style="bold"),
        Text(
            f"{len(graph.nodes)} of {graph.unpruned_nodes} nodes and {len(graph.edges)} of {graph.unpruned_edges} edges hold "
            f"{share(graph.node_share)} and {share(graph.edge_share)} of the influence; held still: {graph.held}"
        ),
        Text(
            f"replacement {graph.replacement:.2f}, completeness {graph.completeness:.2f} (share that passes no error node); "
            f"transcoders explain {share(min(graph.explained.values()))} to {share(max(graph.explained.values()))}"
        ),
        *(
            [
                Text(
                    f"switched off in the model: {check.features} features, rank correlation with what the graph foretold "
                    f"{check.correlation:.2f}, same sign {share(check.sign_agreement)}"
                )
            ]
            if check is not None
            else []
        ),
        rows,
        *cut_note(min(NODES, len(shown)), len(shown)),
    )


def audit_report(study: AuditStudy) -> RenderableType:
    """The three audits, one after the other."""
    parts: list[RenderableType] = []
    for found in study.reasoning:
        parts += [
            Text(f"reasoning: {visible(found.concept)}; audited: {visible(found.audited)}", style="bold"),
            Text(
                f"held inside (layer {found.layer}, probe AUROC {area(found.auroc)}) on {share(found.represented)} of "
                f"{found.prompts}, shown by {share(found.shown)}, hidden on "
                f"{share_with_interval(found.hidden, found.hidden_interval)}; with a control "
                f"{share(found.control_hidden)}"
            ),
            Text(
                "held inside by layer: "
                + ", ".join(f"{layer} {share(s)}" for layer, s in found.represented_by_layer.items()),
                style="dim",
            ),
        ]
    if study.consistency is not None:
        rows = table("layer", "plain", "with a control", "with the trigger")
        for layer, neutral in study.consistency.neutral.items():
            rows.add_row(
                str(layer),
                share(neutral),
                share(study.consistency.control[layer]),
                share(study.consistency.woken[layer]),
            )
        parts += [
            Text(
                "consistency: prompts whose answer a layer's reading begins as the output does", style="bold"
            ),
            rows,
        ]
    found_ = study.discrepancy
    told = (
        f"; tells the trigger with AUROC {area(found_.auroc)} "
        f"({found_.auroc_interval[0]:.3f}–{found_.auroc_interval[1]:.3f}), "
        f"{share(found_.top_share)} of the first {found_.woken} hold it"
        if found_.auroc_interval is not None
        else ""
    )
    ranking = table("score", "group", "prompt", "inside", "output", wide="prompt")
    for prompt in found_.ranking[:RANKED]:
        ranking.add_row(
            f"{prompt.score:.1f}",
            prompt.group,
            cell(quoted(prompt.text, 60)),
            cell(quoted(prompt.inner, 20)),
            cell(quoted(prompt.output, 40)),
        )
    parts += [
        Text(
            f"discrepancy: {found_.prompts} prompts by how far the answer departs from what layers "
            f"{', '.join(map(str, found_.layers))} foretell{told}",
            style="bold",
        ),
        ranking,
        *cut_note(min(RANKED, len(found_.ranking)), found_.prompts),
    ]
    return Group(*parts)
