"""What is inside and not said, as Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence

from ...studies.hiding import HiddenCapability, Instrument, Unwatched
from ...studies.share import Share
from ..figures import area, share_with_interval


def locked_table(found: HiddenCapability) -> str:
    """One row a layer: what a reader trained on unlocked states finds in locked ones."""
    lines = [
        f"{found.organism}: {_share(found.locked_right)} of the answers are right without the password, "
        f"{_share(found.unlocked_right)} with it; {found.questions} wrong answers are read.",
        "",
        "| layer | right above given | names the right one | names the given one | unlocked: names the right one "
        "| shuffled |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.layer} | {_share(row.right_first)} | {_share(row.right_named)} | {_share(row.wrong_named)} "
        f"| {_share(row.unlocked_named)} | {_share(row.shuffled_named)} |"
        for row in found.layers
    ]
    return "\n".join([*lines, ""])


def unwatched_table(found: Sequence[Unwatched]) -> str:
    """One row an organism: rates by who watches, and what its direction does."""
    lines = [
        "| organism | held out | unwatched | watched | plain | layer | AUROC | direction out | random out "
        "| plain, direction added | random added |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in found:
        steered = (row.stopped, row.random_stopped, row.woken, row.random_woken)
        cells = [
            row.organism,
            row.held_out,
            *(_share(s) for s in (row.unwatched, row.watched, row.plain)),
            str(row.layer),
            area(row.area),
            *(f"{_share(s.steered)}, loss {s.loss_increase:+.1%}" for s in steered),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def instrument_table(found: Sequence[Instrument]) -> str:
    """One row an instrument and organism."""
    lines = [
        "| instrument | organism | hides | layer | AUROC | caught | false alarms |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.instrument} | {row.organism} | {'yes' if row.hides else 'no'} "
        f"| {row.layer if row.layer >= 0 else '–'} | {area(row.area)} | {_share(row.caught)} "
        f"| {row.false_alarms.value:.1%} |"
        for row in sorted(found, key=lambda r: (r.instrument, r.hides))
    ]
    return "\n".join([*lines, ""])


def _share(one: Share) -> str:
    return share_with_interval(one.value, one.interval)
