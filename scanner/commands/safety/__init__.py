"""`safety`: the refusal direction, safety features, what a fine-tune did to them, and what a jailbreak does."""

from __future__ import annotations

import typer

from . import comparison, features, jailbreak, refusal

app = typer.Typer(
    help="A model's safety mechanisms: its refusal direction, its safety features, the anatomy of a jailbreak.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
for command in (refusal, features, comparison, jailbreak):
    app.registered_commands += command.app.registered_commands
