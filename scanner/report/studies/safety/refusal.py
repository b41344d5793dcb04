"""The refusal direction: its candidates, and refusal and loss in each state of the model."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from ....studies.safety import OrdinaryLoss, Rate, RefusalStudy
from ...escaping import cut, quoted
from ...evidence_tables import cell, cut_note, table
from ...figures import NOT_MEASURED
from .parts import ROWS, headline, rate_cell, section, took, untested


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
        headline(
            f"Refusal direction: behind layer {study.chosen.layer} at token {study.chosen.position}"
            if study.chosen
            else "No refusal direction"
        ),
        Text(
            f"{cut(study.checkpoint)}; requests: {cut(study.prompt_source)}; refusals start with "
            f"{', '.join(quoted(t, limit=20) for t in study.refusal_tokens)}"
        ),
        Text(f"Relaxed: {cut(study.relaxed)}") if study.relaxed else Text(""),
        *section("Candidates, the best at bypassing refusal first", scores),
        *cut_note(ROWS, len(study.candidates)),
        *section("Held-out requests that are refused", _refusal_rates(study)),
        *section("Ordinary loss, nats a token", _losses(study)),
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
    return Group(*parts, *untested(study.not_tested), took(study.seconds))


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
            rows.add_row(label, rate_cell(harmful), rate_cell(harmless))
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
