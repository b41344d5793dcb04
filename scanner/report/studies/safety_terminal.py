"""Studies of a model's safety as Rich renderables."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.text import Text

from ...findings import NotTested
from ...studies.safety import (
    CatalogueComparison,
    ConceptChange,
    ConceptResult,
    Fate,
    FeatureShift,
    JailbreakStudy,
    OrdinaryLoss,
    Rate,
    RefusalStudy,
    SafetyCatalogue,
)
from ..escaping import cut, quoted
from ..evidence_tables import cell, cut_note, table
from ..figures import NOT_MEASURED, area, chance, duration, effect, share, share_with_interval

ROWS = 12  # features shown of a concept
VERDICTS = {
    "carried": "the behaviour rests on them",
    "read_only": "they tell the prompts apart, and the behaviour does not rest on them alone",
    "no_features": "no feature tells the prompts apart",
}
FATES = {Fate.KEPT: "green", Fate.WEAKENED: "yellow", Fate.LOST: "red"}


def refusal_report(study: RefusalStudy) -> RenderableType:
    """How the direction was chosen, then refusal and loss in each state of the model."""
    scores = table("layer", "token", "norm", "bypass", "induce", "KL", "fails", wide="fails")
    for candidate in sorted(study.candidates, key=lambda c: c.bypass_score)[:ROWS]:
        chosen = candidate == study.chosen
        scores.add_row(
            str(candidate.layer),
            Text(f"{candidate.position} {quoted(candidate.token, limit=30)}", overflow="fold"),
            f"{candidate.norm:.2f}",
            f"{candidate.bypass_score:.2f}",
            f"{candidate.induce_score:.2f}",
            f"{candidate.kl_score:.4f}",
            Text(", ".join(n for n, ok in candidate.passes.items() if not ok) or "nothing"),
            style="bold" if chosen else "",
        )
    parts: list[RenderableType] = [
        _headline(
            f"Refusal direction: behind layer {study.chosen.layer} at token {study.chosen.position}"
            if study.chosen
            else "No refusal direction"
        ),
        Text(
            f"{cut(study.checkpoint)}; requests: {cut(study.prompt_source)}; refusals start with "
            f"{', '.join(quoted(t, limit=20) for t in study.refusal_tokens)}"
        ),
        Text(f"Relaxed: {cut(study.relaxed)}") if study.relaxed else Text(""),
        *_section("Candidates, the best at bypassing refusal first", scores),
        *cut_note(ROWS, len(study.candidates)),
        *_section("Held-out requests that are refused", _refusal_rates(study)),
        *_section("Ordinary loss, nats a token", _losses(study)),
    ]
    made = study.orthogonalised
    if made is not None:
        untied = "; the output head has a tensor of its own now" if made.untied else ""
        parts.append(
            cell(
                f"{len(made.changed)} tensors changed in {made.folder}{untied}; at most "
                f"{made.direction_share:.2g} of any residual stream lies along the direction"
            )
        )
    for what, asked, answer in study.examples:
        parts.append(
            Text(f"{cut(what)}: {quoted(asked, limit=100)} -> {quoted(answer, limit=100)}", style="dim")
        )
    return Group(*parts, *_untested(study.not_tested), _took(study.seconds))


def _refusal_rates(study: RefusalStudy) -> RenderableType:
    rows = table("model", "harmful", "harmless")
    made = study.orthogonalised
    lines: list[tuple[str, Rate | None, Rate | None]] = [
        ("as it is", study.harmful_plain, study.harmless_plain),
        ("direction ablated", study.harmful_ablated, study.harmless_ablated),
        ("random direction ablated", study.random_ablated, None),
        ("direction added", None, study.harmless_added_once),
        (f"direction added {study.strength:g} times", None, study.harmless_added),
        (f"random direction added {study.strength:g} times", None, study.random_added),
    ]
    if made is not None:
        lines.append(("weights orthogonalised", made.harmful_refused, made.harmless_refused))
    for label, harmful, harmless in lines:
        if harmful is not None or harmless is not None:
            rows.add_row(label, _rate(harmful), _rate(harmless))
    return rows


def _losses(study: RefusalStudy) -> RenderableType:
    rows = table("model", "ordinary text", "change", "own harmless answers", "change")
    made = study.orthogonalised.loss if study.orthogonalised else None
    for label, loss in (
        ("as it is", study.loss),
        ("direction ablated", study.loss_ablated),
        ("weights orthogonalised", made),
    ):
        if loss is not None:
            rows.add_row(label, *_loss(loss, study.loss))
    return rows


def _loss(loss: OrdinaryLoss, before: OrdinaryLoss) -> tuple[str, str, str, str]:
    def change(now: float, then: float) -> str:
        return f"{100 * (now / then - 1):+.2f}%" if then > 0 else NOT_MEASURED

    return (
        f"{loss.text:.4f}",
        change(loss.text, before.text),
        f"{loss.own_answer:.4f}",
        f"{loss.own_answer - before.own_answer:+.4f}",
    )


def catalogue_report(catalogue: SafetyCatalogue) -> RenderableType:
    """Each concept with its causal check and its strongest features."""
    parts: list[RenderableType] = [
        _headline("Safety features"),
        Text(f"{cut(catalogue.checkpoint)}; labelled prompts: {cut(catalogue.prompt_source)}"),
    ]
    for concept in catalogue.concepts:
        parts += _section(_title(concept.concept), _concept(concept))
    dictionaries = [
        f"layer {d.about.layer}: {d.about.features:,} features, L0 {d.about.l0:.1f}, explained variance "
        f"{d.about.explained_variance:.3f}, {cut(d.about.source, limit=60)}"
        for d in catalogue.dictionaries
    ]
    parts += _section("Dictionaries", Group(*map(cell, dictionaries)))
    return Group(*parts, *_untested(catalogue.not_tested), _took(catalogue.seconds))


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
    checked.append(f"{cut(concept.behaviour)}: {_behaviour(concept.behaviour_plain)}")
    if concept.behaviour_ablated is not None:
        draws = ", ".join(_behaviour(value) for value in concept.behaviour_random)
        checked.append(
            f", with {len(concept.features)} of them off {_behaviour(concept.behaviour_ablated)}, with as many "
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


def comparison_report(comparison: CatalogueComparison) -> RenderableType:
    """Concept by concept what another checkpoint kept."""
    counts = table("concept", "behaviour before", "after", "kept", "weakened", "lost", "note", wide="note")
    for change in comparison.concepts:
        fates = [feature.fate for feature in change.features]
        counts.add_row(
            _title(change.concept),
            _behaviour(change.behaviour_before),
            _behaviour(change.behaviour_after),
            *(str(fates.count(fate)) for fate in Fate),
            Text(cut(change.alarm), style="red", overflow="fold"),
        )
    parts: list[RenderableType] = [
        _headline("Safety features before and after"),
        Text(f"before: {cut(comparison.before)}\nafter: {cut(comparison.after)}"),
        counts,
    ]
    for change in comparison.concepts:
        if any(feature.fate is not Fate.KEPT for feature in change.features):
            parts += _section(f"{_title(change.concept)}: what was not kept", _changes(change))
    return Group(*parts, *_untested(comparison.not_tested), _took(comparison.seconds))


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


def jailbreak_report(study: JailbreakStudy) -> RenderableType:
    """What the jailbroken form changes inside, and what undoes it."""
    parts: list[RenderableType] = [
        _headline("Anatomy of a jailbreak"),
        Text(
            f"{cut(study.checkpoint)}; {study.pairs} requests: refused {_rate(study.plain_refused)}, jailbroken "
            f"{_rate(study.jailbroken_refused)}; {study.opened} are opened by it"
        ),
    ]
    if study.example is not None:
        plain, jailbroken, before, after = (quoted(text, limit=120) for text in study.example)
        parts.append(Text(f"{plain} -> {before}\n{jailbroken} -> {after}", style="dim", overflow="fold"))
    if study.opened:
        parts.append(
            Text(
                f"{study.suppressed} features are suppressed and {study.awake} awake at the tokens that both forms "
                f"share (found on {study.found_on} requests)"
            )
        )
        safety = [s for s in study.shifts if s.concept and s.state != "unchanged"]
        parts += _section("Safety features that changed", _shifts(safety) if safety else Text("none"))
        others = [s for s in study.shifts if not s.concept]
        if others:
            parts += _section("Other features that changed most", _shifts(others))
        if study.traces:
            parts += _section("Along the first request, plain / jailbroken", _traces(study))
        split = "others than chose the features" if study.held_out else "the same as chose the features"
        parts += _section(
            f"Refused again, of {study.restored_on} jailbroken requests ({split})", _restored(study)
        )
    if study.direction_plain:
        rows = table("layer", "plain", "jailbroken")
        for layer, value in study.direction_plain.items():
            rows.add_row(layer, f"{value:.2f}", f"{study.direction_jailbroken[layer]:.2f}")
        parts += _section("Along the refusal direction, where the answer starts", rows)
    return Group(*parts, *_untested(study.not_tested), _took(study.seconds))


def _shifts(shifts: Sequence[FeatureShift]) -> RenderableType:
    rows = table("concept", "feature", "plain", "jailbroken", "written", "q", "state")
    for shift in shifts[:ROWS]:
        rows.add_row(
            _title(shift.concept) if shift.concept else NOT_MEASURED,
            f"{shift.layer}/{shift.feature}",
            f"{shift.plain:.2f}",
            f"{shift.jailbroken:.2f}",
            f"{shift.written:+.2f}",
            NOT_MEASURED if shift.q_value is None else chance(shift.q_value),
            shift.state,
        )
    return Group(rows, *cut_note(ROWS, len(shifts)))


def _traces(study: JailbreakStudy) -> RenderableType:
    rows = table("token", *(f"{t.layer}/{t.feature}" for t in study.traces[:6]))
    for i, token in enumerate(study.tokens):
        values = [f"{t.plain[i]:.1f} / {t.jailbroken[i]:.1f}" for t in study.traces[:6]]
        rows.add_row(Text(quoted(token, limit=20)), *values)
    return rows


def _restored(study: JailbreakStudy) -> RenderableType:
    rows = table("put back", "features", "refused")
    draws: dict[str, list[Rate]] = {}
    for made in study.restorations:
        draws.setdefault(made.how, []).append(made.refused)
    counts = {made.how: made.features for made in study.restorations}
    for how, rates in draws.items():
        shown = _rate(rates[0]) if len(rates) == 1 else ", ".join(share(rate.share) for rate in rates)
        rows.add_row(cell(how), str(counts[how]) if counts[how] else NOT_MEASURED, shown)
    return rows


def _headline(text: str) -> Text:
    return Text(cut(text), style="bold")


def _section(title: str, body: RenderableType) -> list[RenderableType]:
    return [Rule(cut(title), align="left", style="dim"), Padding(body, (0, 0, 1, 2))]


def _untested(items: Sequence[NotTested]) -> list[RenderableType]:
    return [cell(f"not tested: {item.what}: {item.reason}", style="dim") for item in items]


def _took(seconds: float) -> Text:
    return Text(f"took {duration(seconds)}", style="dim")


def _rate(rate: Rate | None) -> str:
    return NOT_MEASURED if rate is None else share_with_interval(rate.share, rate.interval)


def _behaviour(value: float) -> str:
    return f"{value:.2f}"


def _nats(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value:+.4f}"


def _title(concept: str) -> str:
    return cut(concept.replace("_", " "), limit=60)
