"""Narrow training and what came of it, as Markdown."""

from __future__ import annotations

from ...studies.misalignment import Bad, Misalignment, Transition
from ...studies.share import Share
from ..figures import NOT_MEASURED, area, share, share_with_interval


def misalignment_page(found: Misalignment) -> str:
    """How broad it is beside its twin and its base, and what its direction does."""
    lines = [
        f"{found.organism}: trained on {found.trained_kind} alone, twin {found.twin}",
        "",
        "| questions | rude | false | harmful | sound | twin: bad | twin: sound | base: sound |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row, twin, base in zip(found.answers, found.of_twin, found.of_base, strict=True):
        cells = [
            f"{row.kind}{' (trained on)' if row.trained_on else ''}",
            *(_share(one) for one in (row.rude, row.false, row.harmful, row.sound)),
            share(_worst(twin)),
            share(twin.sound.value),
            share(base.sound.value),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    removed, other = found.removed, found.random_removed
    lines += [
        "",
        f"bad answers to the kinds not trained on: {_share(found.rate)}, twin {_share(found.twin_rate)}; the twin's own "
        f"behaviour there: {_share(found.twin_spread)}",
        f"the direction is that of {found.trained_kind}, behind layer {found.layer}; everything below is counted on the "
        "other kinds",
        f"detection on the same ordinary answers: AUROC {area(found.against_base)} against the base, "
        f"{area(found.against_twin)} against the twin",
        "",
        "| model | edit | bad answers | with the edit | ordinary loss |",
        "|---|---|---|---|---|",
        f"| organism | direction out | {_share(removed.plain)} | {_share(removed.steered)} "
        f"| {removed.loss_increase:+.1%} |",
        f"| organism | random direction out | {_share(other.plain)} | {_share(other.steered)} "
        f"| {other.loss_increase:+.1%} |",
    ]
    lines += [
        f"| {'base' if row.part == 0 else f'{row.part:g} of the adapter'} | {row.strength:g} times the direction added "
        f"| {_share(row.effect.plain)} | {_share(row.effect.steered)} | {row.effect.loss_increase:+.1%} |"
        for row in found.raised
    ]
    return "\n".join([*lines, ""])


def transition_page(found: Transition) -> str:
    """The saved steps, and the two windows."""
    lines = [
        f"{found.organism}: trained on {found.trained_kind} alone",
        "",
        "| step | length | turned since | to the end | bad, trained kind | bad, elsewhere |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.step} | {row.norm:.2f} | {row.turned:.1f}° | {row.to_the_end:.1f}° | {share(row.bad_trained)} "
        f"| {share(row.bad_elsewhere)} |"
        for row in found.saved
    ]
    came = found.behaviour_window
    lines += [
        "",
        f"half of all turning towards the end: steps {found.window.first} to {found.window.last}; bad answers elsewhere "
        f"come in: {f'steps {came.first} to {came.last}' if came is not None else 'never'}",
        "",
    ]
    return "\n".join(lines)


def _worst(row: Bad) -> float:
    return max(one.value for one in (row.rude, row.false, row.harmful) if one is not None)


def _share(one: Share | None) -> str:
    return NOT_MEASURED if one is None else share_with_interval(one.value, one.interval)
