"""Narrow training and what came of it, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from ...studies.misalignment import Misalignment, Raised, Transition
from ...studies.share import Share
from ...studies.steering import SteeringEffect
from ..figures import NOT_MEASURED, area, share, share_with_interval


def misalignment_page(found: Misalignment) -> str:
    """How broad it is beside its twin and its base, and what its direction does."""
    lines = [
        f"{found.organism}: trained on {found.trained_kind} alone, twin {found.twin}",
        "",
        "| questions | asked | rude | false | harmful | sound | twin: bad | twin: sound | base: sound |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row, twin, base in zip(found.answers, found.of_twin, found.of_base, strict=True):
        cells = [
            f"{row.kind}{' (trained on)' if row.trained_on else ''}",
            str(row.bad.of),
            *(_share(one) for one in (row.rude, row.false, row.harmful, row.sound)),
            share(twin.bad.value),
            share(twin.sound.value),
            share(base.sound.value),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    worst = found.base_at_its_worst
    lines += [
        "",
        f"bad answers to {found.rate.of} different questions of the kinds not trained on: {_share(found.rate)}, twin "
        f"{_share(found.twin_rate)}; the twin's own behaviour there: {_share(found.twin_spread)}",
        f"the direction is that of {found.trained_kind}, behind layer {found.layer}; everything below is counted on these "
        "questions of the other kinds, the loss on their right answers",
        f"detection on the same ordinary answers: AUROC {area(found.against_base)} against the base, "
        f"{area(found.against_twin)} against the twin",
        "",
        "| model | edit | bad answers | with the edit | ordinary loss |",
        "|---|---|---|---|---|",
        _row("organism", "direction out", found.removed),
        _range("organism", found.random_removed),
        *(
            _row(_part(row), f"{row.strength:g} times the direction added", row.effect)
            for row in found.raised
        ),
        "",
        f"bad answers of the base at any strength tried: at most {_share(worst.effect.steered)}",
        "",
    ]
    return "\n".join(lines)


def transition_page(found: Transition) -> str:
    """The saved steps, and the two windows."""
    lines = [
        f"{found.organism}: trained on {found.trained_kind} alone",
        "",
        "| step | length | turned since | to the end | bad, trained kind | bad, elsewhere |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.step} | {row.norm:.2f} | {row.turned:.1f}° | {row.to_the_end:.1f}° | {_share(row.bad_trained)} "
        f"| {_share(row.bad_elsewhere)} |"
        for row in found.saved
    ]
    came = found.behaviour_window
    last = found.saved[-1]
    lines += [
        "",
        f"different questions asked at every step: {last.bad_trained.of} of the trained kind, {last.bad_elsewhere.of} of "
        "the others",
        f"half of all turning towards the end: steps {found.window.first} to {found.window.last}; bad answers elsewhere "
        f"come in: {f'steps {came.first} to {came.last}' if came is not None else 'never'}",
        "",
    ]
    return "\n".join(lines)


def _part(row: Raised) -> str:
    return "base" if row.part == 0 else f"{row.part:g} of the adapter"


def _row(model: str, edit: str, effect: SteeringEffect) -> str:
    cells = (model, edit, _share(effect.plain), _share(effect.steered), f"{effect.loss_increase:+.1%}")
    return f"| {' | '.join(cells)} |"


def _range(model: str, effects: Sequence[SteeringEffect]) -> str:
    """What several random directions do, one at a time: the least and the most of them."""
    steered = [effect.steered.value for effect in effects]
    losses = [effect.loss_increase for effect in effects]
    cells = (
        model,
        f"each of {len(effects)} random directions out",
        _share(effects[0].plain),
        f"{share(min(steered))} to {share(max(steered))}",
        f"{min(losses):+.1%} to {max(losses):+.1%}",
    )
    return f"| {' | '.join(cells)} |"


def _share(one: Share | None) -> str:
    return NOT_MEASURED if one is None else share_with_interval(one.value, one.interval)
