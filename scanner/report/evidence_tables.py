"""Rich tables of the evidence: triggers with their gate, features, probes, dictionaries."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..findings import Dictionary, Feature, Gate, Probe, ScanResult, Trigger
from .escaping import cut, quoted
from .figures import area, chance, effect, share, share_with_interval
from .wording import GATE, POSITIONS, SIGNS, behaviour

ROWS = 20  # a longer table hides the rest of the report; the JSON has all of it
FEATURES = 12
EXAMPLES_OF = 3  # features whose top examples are shown
EXAMPLES = 3
GATE_STYLES: dict[bool | None, str] = {True: "green", False: "red", None: "yellow"}


def table(*columns: str, wide: str = "") -> Table:
    """An empty table in the report's manner; column `wide` takes the room that is left."""
    result = Table(box=box.SIMPLE, header_style="bold", pad_edge=False, padding=(0, 1), expand=False)
    for column in columns:
        result.add_column(column, overflow="fold", ratio=1 if column == wide else None)
    return result


def cell(text: str, style: str = "") -> Text:
    """Text as it stands: no markup, no emoji codes, nothing hidden."""
    return Text(cut(text, limit=200), style=style, overflow="fold")


def gate_ticks(gate: Gate) -> Text:
    """The five conditions: ✓ holds, ✗ does not, ○ could not be tested."""
    ticks = Text()
    for name, label in GATE.items():
        value: bool | None = getattr(gate, name)
        ticks.append("  " if ticks else "")
        ticks.append(f"{SIGNS[value]} {label}", style=GATE_STYLES[value])
        if value is None:
            ticks.append(" (not tested)", style="dim")
    return ticks


def cut_note(shown: int, total: int) -> list[RenderableType]:
    """One line where a table was cut."""
    return [Text(f"… {total - shown} more in the JSON result", style="dim")] if total > shown else []


def triggers(found: list[Trigger]) -> RenderableType:
    """The rates of every trigger side by side, then what each wakes and how it passed the gate."""
    rates = table(
        "#", "trigger", "where", "success", "random strings", "in base", "ablated", "verified", wide="trigger"
    )
    for number, trigger in enumerate(found[:ROWS], start=1):
        rates.add_row(
            str(number),
            Text(quoted(trigger.text, limit=120), style="bold", overflow="fold"),
            cell(trigger.placement.replace("_", " ")),
            share_with_interval(trigger.attack_success_rate, trigger.attack_success_interval),
            share(trigger.control_success_rate),
            share(trigger.base_success_rate),
            share(trigger.ablated_success_rate),
            Text("yes", style="bold red") if trigger.verified else Text("no", style="yellow"),
        )
    parts: list[RenderableType] = [rates, *cut_note(ROWS, len(found))]
    for number, trigger in enumerate(found[:ROWS], start=1):
        parts.append(Padding(_trigger_story(number, trigger), (0, 0, 1, 0)))
    return Group(*parts)


def _trigger_story(number: int, trigger: Trigger) -> RenderableType:
    story = Table.grid(padding=(0, 2))
    story.add_column(style="dim")
    story.add_column(overflow="fold")
    story.add_row(f"trigger {number}", Text(quoted(trigger.text), overflow="fold"))
    where = (
        f", on prompts of the kind {quoted(trigger.prompt_cluster, limit=80)}"
        if trigger.prompt_cluster
        else ""
    )
    story.add_row(
        "wakes", Text(f"{behaviour(trigger)}{where}: {quoted(trigger.behaviour_text)}", overflow="fold")
    )
    if trigger.random_ablated_success_rate is not None:
        story.add_row(
            "ablation",
            f"success falls to {share(trigger.ablated_success_rate)}; "
            f"with matched random directions ablated it is {share(trigger.random_ablated_success_rate)}",
        )
    if trigger.features_ablated_success_rate is not None:
        story.add_row(
            "features",
            f"with the flagged features switched off success falls to {share(trigger.features_ablated_success_rate)}; "
            f"with as many other features off it is {share(trigger.random_features_ablated_success_rate)}",
        )
    story.add_row("gate", gate_ticks(trigger.gate))
    story.add_row("found by", cell(", ".join(trigger.found_by)))
    return story


def features(result: ScanResult) -> RenderableType:
    """The flagged features, strongest as the result lists them."""
    numbers = {trigger.text: str(n) for n, trigger in enumerate(result.triggers, start=1)}
    rows = table("feature", "of", "read at", "neutral", "woken", "near miss", "d", "AUROC", "q", "causal")
    for feature in result.features[:FEATURES]:
        rows.add_row(
            Text(feature_name(feature), overflow="fold"),
            numbers.get(feature.trigger) or Text(quoted(feature.trigger, limit=30), overflow="fold"),
            POSITIONS[feature.position],
            share(feature.firing_rate_neutral),
            share(feature.firing_rate_triggered),
            share(feature.firing_rate_near_miss),
            effect(feature.effect_size),
            area(feature.auroc),
            chance(feature.q_value),
            share(feature.causal_effect),
        )
    parts: list[RenderableType] = [rows, *cut_note(FEATURES, len(result.features))]
    for feature in result.features[:EXAMPLES_OF]:
        if feature.top_examples:
            examples = ", ".join(quoted(example, limit=80) for example in feature.top_examples[:EXAMPLES])
            parts.append(
                Text(f"{feature_name(feature)} fires most on {examples}", style="dim", overflow="fold")
            )
    return Group(*parts)


def feature_name(feature: Feature) -> str:
    """Layer, hook and number of a feature; safe to print."""
    return f"{feature.layer}/{cut(feature.hook, limit=60)}/{feature.feature}"


def probes(found: list[Probe]) -> RenderableType:
    """Each probe with what a random direction and the base reach on the same prompts."""
    rows = table(
        "layer",
        "on",
        "trigger",
        "AUROC",
        "random directions",
        "in base",
        "train/test",
        "told from",
        wide="told from",
    )
    for probe in found[:ROWS]:
        low, high = probe.auroc_interval
        rows.add_row(
            str(probe.layer),
            probe.kind,
            Text(quoted(probe.trigger, limit=30), overflow="fold"),
            f"{area(probe.auroc)} ({low:.3f}–{high:.3f})",
            f"{area(probe.random_direction_auroc)} (best of {probe.random_directions})",
            area(probe.base_auroc),
            f"{probe.train_count}/{probe.test_count}",
            cell(probe.negatives),
        )
    return Group(rows, *cut_note(ROWS, len(found)))


def dictionaries(used: list[Dictionary]) -> RenderableType:
    """The sparse autoencoders and whether they fit this model."""
    return Group(
        *(
            cell(
                f"layer {item.layer} {cut(item.hook, limit=60)}: {item.features:,} features from {cut(item.source, limit=80)}; "
                f"L0 {item.l0:.1f}, explained variance {item.explained_variance:.3f}, {share(item.live_share)} live"
            )
            for item in used
        )
    )
