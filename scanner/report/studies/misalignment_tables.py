"""Narrow training and what came of it, as Markdown."""

from __future__ import annotations

from ...studies.misalignment import Misalignment
from ...studies.share import Share
from ..figures import NOT_MEASURED, area, share, share_with_interval


def misalignment_page(found: Misalignment) -> str:
    """How broad it is, the saved steps with the turning of the vector, and what the vector does."""
    lines = [
        f"{found.organism}: trained on {found.trained_kind} alone, one vector at layer {found.layer}",
        "",
        "| questions | rude | false | harmful |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {row.kind}{' (trained on)' if row.trained_on else ''} | {_share(row.rude)} | {_share(row.false)} "
        f"| {_share(row.harmful)} |"
        for row in found.broad
    ]
    lines += [
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
    behaviour = f"steps {came.first} to {came.last}" if came is not None else "never"
    removed, given = found.removed, found.given
    lines += [
        "",
        f"the vector turns in steps {found.window.first} to {found.window.last} (half of all turning); "
        f"bad answers elsewhere come in: {behaviour}",
        f"detection by projection, organism against base: AUROC {area(found.area)}",
        f"vector taken out of the organism: bad answers elsewhere {_share(removed.plain)} to "
        f"{_share(removed.steered)}, ordinary loss {removed.loss_increase:+.1%}",
        f"vector added to the base ({found.strength:.2f} times): {_share(given.plain)} to {_share(given.steered)}, "
        f"ordinary loss {given.loss_increase:+.1%}",
        "",
    ]
    return "\n".join(lines)


def _share(one: Share | None) -> str:
    return NOT_MEASURED if one is None else share_with_interval(one.value, one.interval)
