"""Training a TopK sparse autoencoder on activations that are at hand, in seconds on a CPU.

    pre = (x - b_dec) @ w_encᵀ + b_enc,   codes = the k largest, ReLU'd,   x̂ = codes @ w_dec + b_dec
    loss = mean ‖x̂ - x‖² / mean ‖x - mean‖²  +  AuxK on the features that stopped firing

Only k of F entries a token carry a gradient, and both directions touch no others: beside one dense
product a step (the encoder) everything costs k / F of the dense work. Activations are centred and scaled to mean norm 1 inside and the weights unscaled at the end, so
the SAE that comes out works on raw activations and its codes are in raw units (decoder rows have norm
1). Deterministic on a CPU for one seed and recipe (and number of threads, where it uses several).

Source: TopK, AuxK, tied initialisation: Gao et al. 2024 (arXiv 2406.04093); the gradient part along a
decoder row is removed and rows renormalised as in Bricken et al. 2023; step sizes ours.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from ...kernels.sparse_decode import encode_with_gradient, sparse_decode
from .autoencoder import SparseAutoencoder
from .dead_features import FiringWatch, add_auxiliary_gradients

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jaxtyping import Float, Float32

    from ..progress import Stage

MINIMUM_TOKENS = 2
# Multiplications a step, below which one thread is used: each step waits for the slowest thread several
# times, so that a busy machine makes two threads several times slower than one. Measured at d = 192.
ONE_THREAD_WORK = 2**29
AUXILIARY_ROWS = 128  # tokens of each batch that dead features learn from


@dataclass(frozen=True, kw_only=True)
class TrainingRecipe:
    """What kind of SAE to train, and for how long.

    Attributes:
        features: F, the size of the dictionary.
        k: features that may fire on one token.
        steps: optimiser steps.
        batch: tokens a step.
        learning_rate: Adam's peak step size, for activations of mean norm 1.
        warm_up: share of the steps in which the step size rises, in [0, 1).
        decay: share of the steps, at the end, in which it falls linearly to 0, in [0, 1].
        dead_after: steps of silence after which a feature counts as dead.
        auxiliary_weight: weight of AuxK beside the main loss; 0 leaves the dead alone.
        seed: of the initial directions and of the order of the tokens.
    """

    features: int = 1024
    k: int = 16
    steps: int = 600
    batch: int = 512
    learning_rate: float = 6e-3
    warm_up: float = 0.05
    decay: float = 0.5
    dead_after: int = 30
    auxiliary_weight: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.features:
            raise ValueError(f"k must be from 1 to features = {self.features}, got {self.k}")
        if self.steps < 1 or self.batch < 1 or self.dead_after < 1:
            raise ValueError(
                f"steps, batch and dead_after must be at least 1, got {self.steps}, {self.batch}, {self.dead_after}"
            )
        if not (0 <= self.warm_up < 1 and 0 <= self.decay <= 1):
            raise ValueError(
                f"warm_up and decay are shares of the steps, got {self.warm_up} and {self.decay}"
            )


@torch.no_grad()
def train_sae(
    activations: Float[Tensor, "N d"] | Sequence[Float[Tensor, "n d"]],
    recipe: TrainingRecipe | None = None,
    *,
    layer: int | None = None,
    hook: str = "",
    source: str = "trained on the model's own activations",
    stage: Stage | None = None,
) -> SparseAutoencoder:
    """A dictionary in which each of these activations is nearly a sum of k directions.

    Args:
        activations: tokens in rows, one tensor or several to be joined; any float dtype. Training
            runs on their device, in float32.
        recipe: size and length of the training; the defaults suit 20,000 to 100,000 tokens, d = 192.
        layer: recorded in the result.
        hook: recorded in the result.
        source: recorded in the result.
        stage: told of every step.

    Returns:
        An SAE for raw activations, decoder rows of norm 1, `apply_b_dec_to_input` true.

    Raises:
        ValueError: no [N, d] matrix, fewer than two tokens, or all tokens alike or not finite.
    """
    recipe = recipe or TrainingRecipe()
    tokens = _joined(activations)
    centre, scale = _centre_and_scale(tokens)
    weights = _initial_weights(tokens, centre, recipe)
    parameters = {name: torch.nn.Parameter(weight) for name, weight in weights.items()}
    optimiser = torch.optim.Adam(parameters.values(), lr=recipe.learning_rate, betas=(0.9, 0.99), fused=True)
    watch = FiringWatch(recipe.features, recipe.dead_after, tokens.device)
    if stage is not None:
        stage.total(recipe.steps)
    with _threads_for(tokens, recipe):
        for step, batch in enumerate(_batches(tokens, recipe)):
            x = (batch.float() - centre) * scale
            gradients = _gradients(parameters, x, recipe, watch)
            _remove_parallel(gradients["w_dec"], weights["w_dec"])
            for name, parameter in parameters.items():
                parameter.grad = gradients[name]
            for group in optimiser.param_groups:
                group["lr"] = recipe.learning_rate * _schedule(step, recipe)
            optimiser.step()
            functional.normalize(weights["w_dec"], dim=1, out=weights["w_dec"])
            if stage is not None:
                stage.advance()
    return SparseAutoencoder(
        w_enc=weights["w_enc"],
        b_enc=weights["b_enc"] / scale,
        w_dec=weights["w_dec"],
        b_dec=centre + weights["b_dec"] / scale,
        activation="topk",
        k=recipe.k,
        layer=layer,
        hook=hook,
        source=source,
    )


def _batches(tokens: Tensor, recipe: TrainingRecipe) -> Iterator[Tensor]:
    """One batch a step, every token once before any comes again; what does not fill a batch is left out."""
    random_order = torch.Generator().manual_seed(recipe.seed)
    remaining = torch.empty(0, dtype=torch.int64)
    for step in range(recipe.steps):
        if step == 0 or len(remaining) < recipe.batch:
            remaining = torch.randperm(len(tokens), generator=random_order)
        chosen, remaining = remaining[: recipe.batch], remaining[recipe.batch :]
        yield tokens[chosen.to(tokens.device)]


@contextmanager
def _threads_for(tokens: Tensor, recipe: TrainingRecipe) -> Iterator[None]:
    """One thread where a step is small, as many as torch would take where it is large."""
    threads = torch.get_num_threads()
    if tokens.device.type == "cpu" and recipe.batch * recipe.features * tokens.shape[1] < ONE_THREAD_WORK:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _joined(activations: Tensor | Sequence[Tensor]) -> Tensor:
    tokens = activations if isinstance(activations, Tensor) else torch.cat(list(activations))
    if tokens.ndim != 2 or tokens.shape[0] < MINIMUM_TOKENS or tokens.shape[1] < 1:
        raise ValueError(
            f"activations must be [N, d] with at least 2 tokens, got shape {tuple(tokens.shape)}"
        )
    return tokens.detach()


def _centre_and_scale(tokens: Tensor) -> tuple[Float32[Tensor, " d"], float]:
    """The mean token, and what makes the distance from it 1 on average."""
    centre = tokens.mean(dim=0, dtype=torch.float32)
    distance = 0.0
    for start in range(0, len(tokens), 2**16):
        distance += float((tokens[start : start + 2**16].float() - centre).norm(dim=1).sum()) / len(tokens)
    if not (math.isfinite(distance) and distance > 0):
        raise ValueError(
            f"activations must be finite and differ from each other, got mean distance {distance}"
        )
    return centre, 1.0 / distance


def _initial_weights(
    tokens: Tensor, centre: Float32[Tensor, " d"], recipe: TrainingRecipe
) -> dict[str, Float32[Tensor, "..."]]:
    """Random unit directions for the decoder, the same for the encoder, biases 0."""
    generator = torch.Generator().manual_seed(recipe.seed + 1)
    directions = torch.randn(recipe.features, tokens.shape[1], generator=generator)
    directions = functional.normalize(directions.to(tokens.device), dim=1)
    return {
        "w_enc": directions.clone(),
        "b_enc": torch.zeros(recipe.features, device=tokens.device),
        "w_dec": directions,
        "b_dec": torch.zeros_like(centre),
    }


def _gradients(
    parameters: dict[str, torch.nn.Parameter],
    x: Float32[Tensor, "B d"],
    recipe: TrainingRecipe,
    watch: FiringWatch,
) -> dict[str, Tensor]:
    """Gradients of the loss on one batch."""
    w_enc, b_enc, w_dec, b_dec = (parameters[name] for name in ("w_enc", "b_enc", "w_dec", "b_dec"))
    centred = x - b_dec
    with torch.enable_grad():
        codes = encode_with_gradient(x, w_enc, b_enc, activation="topk", k=recipe.k, centre=b_dec)
        error = sparse_decode(codes, w_dec, b_dec) - x
        loss = error.square().sum() / centred.square().sum()
    gradients = dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))
    fired = torch.zeros(recipe.features, dtype=torch.bool, device=x.device)
    fired[codes.indices[codes.values > 0]] = True
    watch.saw(fired)
    dead = watch.dead()
    if len(dead) and recipe.auxiliary_weight > 0:
        part = slice(0, AUXILIARY_ROWS)
        residual = -error.detach()[part]
        plain = {name: parameter.detach() for name, parameter in parameters.items()}
        add_auxiliary_gradients(plain, gradients, centred[part], residual, dead, recipe.auxiliary_weight)
    return gradients


def _remove_parallel(gradient: Tensor, directions: Tensor) -> None:
    """Drop the part that would only change a direction's length."""
    along = torch.linalg.vecdot(gradient, directions, dim=1)
    gradient.addcmul_(directions, along[:, None], value=-1.0)


def _schedule(step: int, recipe: TrainingRecipe) -> float:
    """Share of the peak step size: a linear rise, a plateau, a linear fall."""
    rise = (step + 1) / max(1.0, recipe.warm_up * recipe.steps)
    fall = (recipe.steps - step) / max(1.0, recipe.decay * recipe.steps)
    return min(1.0, rise, fall)
