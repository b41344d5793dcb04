"""A catalogue of safety features: each concept with its causal check and its strongest features."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from ....studies.safety import ConceptResult, SafetyCatalogue
from ...escaping import cut, quoted
from ...evidence_tables import cell, cut_note, table
from ...figures import NOT_MEASURED, area, chance, effect, share
from .parts import ROWS, behaviour_cell, concept_title, headline, section, took, untested

VERDICTS = {
    "carried": "the behaviour rests on them",
    "read_only": "they tell the prompts apart, and the behaviour does not rest on them alone",
    "no_features": "no feature tells the prompts apart",
}


def catalogue_report(catalogue: SafetyCatalogue) -> RenderableType:
    """Each concept with its causal check and its strongest features."""
    parts: list[RenderableType] = [
        headline("Safety features"),
        Text(f"{cut(catalogue.checkpoint)}; labelled prompts: {cut(catalogue.prompt_source)}"),
    ]
    for concept in catalogue.concepts:
        parts += section(concept_title(concept.concept), _concept(concept))
    dictionaries = [
        f"layer {d.about.layer}: {d.about.features:,} features, L0 {d.about.l0:.1f}, explained variance "
        f"{d.about.explained_variance:.3f}, {cut(d.about.source, limit=60)}"
        for d in catalogue.dictionaries
    ]
    parts += section("Dictionaries", Group(*map(cell, dictionaries)))
    return Group(*parts, *untested(catalogue.not_tested), took(catalogue.seconds))


def _concept(concept: ConceptResult) -> RenderableType:
    rows = table("feature", "read at", "positive", "negative", "d", "AUROC", "q", "nats", "matched")
    for feature in concept.features[:ROWS]:
        rows.add_row(
            f"{feature.layer}/{feature.feature}",
            feature.read_at.replace("_", " "),
            share(feature.firing_rate_positive),
            share(feature.firing_rate_negative),
            effect(feature.effect_size),
            area(feature.auroc),
            chance(feature.q_value),
            _nats(feature.causal_effect),
            _nats(feature.random_effect),
        )
    checked = Text(overflow="fold")
    checked.append(f"{concept.features_found} features; {VERDICTS[concept.verdict]}. ", style="bold")
    checked.append(f"{cut(concept.behaviour)}: {behaviour_cell(concept.behaviour_plain)}")
    if concept.behaviour_ablated is not None:
        draws = ", ".join(behaviour_cell(value) for value in concept.behaviour_random)
        checked.append(
            f", with {len(concept.features)} of them off {behaviour_cell(concept.behaviour_ablated)}, with as many "
            f"matched ones off {draws}"
        )
    parts: list[RenderableType] = [checked]
    if concept.features:
        parts += [rows, *cut_note(ROWS, len(concept.features))]
        strongest = concept.features[0]
        shown = ", ".join(quoted(text, limit=80) for text in strongest.top_examples)
        parts.append(
            Text(f"{strongest.layer}/{strongest.feature} fires most on {shown}", style="dim", overflow="fold")
        )
    return Group(*parts)


def _nats(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value:+.4f}"
