"""What of a catalogue another checkpoint kept, concept by concept."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from ....studies.safety import CatalogueComparison, ConceptChange, Fate
from ...escaping import cut
from ...evidence_tables import cut_note, table
from ...figures import area, chance, effect
from .parts import ROWS, behaviour_cell, concept_title, headline, section, took, untested

FATES = {Fate.KEPT: "green", Fate.WEAKENED: "yellow", Fate.LOST: "red"}


def comparison_report(comparison: CatalogueComparison) -> RenderableType:
    """Concept by concept what another checkpoint kept."""
    counts = table("concept", "behaviour before", "after", "kept", "weakened", "lost", "note", wide="note")
    for change in comparison.concepts:
        fates = [feature.fate for feature in change.features]
        counts.add_row(
            concept_title(change.concept),
            behaviour_cell(change.behaviour_before),
            behaviour_cell(change.behaviour_after),
            *(str(fates.count(fate)) for fate in Fate),
            Text(cut(change.alarm), style="red", overflow="fold"),
        )
    parts: list[RenderableType] = [
        headline("Safety features before and after"),
        Text(f"before: {cut(comparison.before)}\nafter: {cut(comparison.after)}"),
        counts,
    ]
    for change in comparison.concepts:
        if any(feature.fate is not Fate.KEPT for feature in change.features):
            parts += section(f"{concept_title(change.concept)}: what was not kept", _changes(change))
    return Group(*parts, *untested(comparison.not_tested), took(comparison.seconds))


def _changes(change: ConceptChange) -> RenderableType:
    rows = table("feature", "d before", "after", "AUROC before", "after", "q after", "fate")
    changed = [feature for feature in change.features if feature.fate is not Fate.KEPT]
    for feature in changed[:ROWS]:
        before = feature.before
        rows.add_row(
            f"{before.layer}/{before.feature}",
            effect(before.effect_size),
            effect(feature.effect_size_after),
            area(before.auroc),
            area(feature.auroc_after),
            chance(feature.q_value_after),
            Text(feature.fate.value, style=FATES[feature.fate]),
        )
    return Group(rows, *cut_note(ROWS, len(changed)))
