"""What the reports of the safety studies are put together from."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.text import Text

from ....findings import NotTested
from ....studies.safety import Rate
from ...escaping import cut
from ...evidence_tables import cell
from ...figures import NOT_MEASURED, duration, share_with_interval

ROWS = 12  # shown of any one table


def headline(text: str) -> Text:
    """The first line of a report."""
    return Text(cut(text), style="bold")


def section(title: str, body: RenderableType) -> list[RenderableType]:
    """A body under a rule with its title."""
    return [Rule(cut(title), align="left", style="dim"), Padding(body, (0, 0, 1, 2))]


def untested(items: Sequence[NotTested]) -> list[RenderableType]:
    """One line for each thing that was not tested, with the reason."""
    return [cell(f"not tested: {item.what}: {item.reason}", style="dim") for item in items]


def took(seconds: float) -> Text:
    """The last line of a report."""
    return Text(f"took {duration(seconds)}", style="dim")


def rate_cell(rate: Rate | None) -> str:
    """A share of prompts with its interval, or the sign of what was not measured."""
    return NOT_MEASURED if rate is None else share_with_interval(rate.share, rate.interval)


def behaviour_cell(value: float) -> str:
    """What a causal check watches: a share, or nats."""
    return f"{value:.2f}"


def concept_title(concept: str) -> str:
    """A concept's name as a heading."""
    return cut(concept.replace("_", " "), limit=60)
