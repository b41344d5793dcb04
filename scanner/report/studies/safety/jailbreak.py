"""The anatomy of a jailbreak: what changes inside, and what undoes it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from ....studies.safety import FeatureShift, JailbreakStudy, Rate
from ...escaping import cut, quoted
from ...evidence_tables import cell, cut_note, table
from ...figures import NOT_MEASURED, chance, share
from .parts import ROWS, concept_title, headline, rate_cell, section, took, untested


def jailbreak_report(study: JailbreakStudy) -> RenderableType:
    """What the jailbroken form changes inside, and what undoes it."""
    parts: list[RenderableType] = [
        headline("Anatomy of a jailbreak"),
        Text(
            f"{cut(study.checkpoint)}; {study.pairs} requests: refused {rate_cell(study.plain_refused)}, jailbroken "
            f"{rate_cell(study.jailbroken_refused)}; {study.opened} are opened by it"
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
        parts += section("Safety features that changed", _shifts(safety) if safety else Text("none"))
        others = [s for s in study.shifts if not s.concept]
        if others:
            parts += section("Other features that changed most", _shifts(others))
        if study.traces:
            parts += section("Along the first request, plain / jailbroken", _traces(study))
        split = "others than chose the features" if study.held_out else "the same as chose the features"
        parts += section(
            f"Refused again, of {study.restored_on} jailbroken requests ({split})", _restored(study)
        )
    if study.direction_plain:
        rows = table("layer", "plain", "jailbroken")
        for layer, value in study.direction_plain.items():
            rows.add_row(layer, f"{value:.2f}", f"{study.direction_jailbroken[layer]:.2f}")
        parts += section("Along the refusal direction, where the answer starts", rows)
    return Group(*parts, *untested(study.not_tested), took(study.seconds))


def _shifts(shifts: Sequence[FeatureShift]) -> RenderableType:
    rows = table("concept", "feature", "plain", "jailbroken", "written", "q", "state")
    for shift in shifts[:ROWS]:
        rows.add_row(
            concept_title(shift.concept) if shift.concept else NOT_MEASURED,
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
        shown = rate_cell(rates[0]) if len(rates) == 1 else ", ".join(share(rate.share) for rate in rates)
        rows.add_row(cell(how), str(counts[how]) if counts[how] else NOT_MEASURED, shown)
    return rows
