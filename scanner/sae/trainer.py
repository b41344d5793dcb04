"""Training a sparse autoencoder on activations that are at hand, in seconds on a CPU.

    pre = (x - b_dec) @ w_encᵀ + b_enc,   codes = activation(pre),   x̂ = codes @ w_dec + b_dec
    loss: `objective.py`, and AuxK on the features that stopped firing (`dead_features.py`)

Only the entries that fire carry a gradient (for TopK k of F a token), and both directions touch no others: beside one
dense product a step (the encoder) everything costs k / F of the dense work. Activations are centred and scaled to mean
norm 1 inside and the weights unscaled at the end, so the SAE that comes out works on raw activations and its codes are
in raw units (decoder rows have norm 1). BatchTopK comes out as JumpReLU with the one threshold that leaves k features
a token. Deterministic on a CPU for one seed and recipe (and number of threads, where it uses several).

Source: TopK, AuxK, tied initialisation: Gao et al. 2024 (arXiv 2406.04093); the gradient part along a
decoder row is removed and rows renormalised as in Bricken et al. 2023; step sizes ours.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from .autoencoder import SparseAutoencoder
from .dead_features import FiringWatch, add_auxiliary_gradients
from .objective import gradients_of
from .recipe import TrainingRecipe
from .together import ALONE, Together
from .training_state import TrainingState, make_alike

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from jaxtyping import Float, Float32

    from ..progress import Stage

MINIMUM_TOKENS = 2
# Multiplications a step, below which one thread is used: each step waits for the slowest thread several
# times, so that a busy machine makes two threads several times slower than one. Measured at d = 192.
ONE_THREAD_WORK = 2**29
AUXILIARY_ROWS = 128  # tokens of each batch that dead features learn from


CALIBRATED_TOKENS = 2**15  # on which a threshold for all tokens is set
THRESHOLD_FACTOR = 8.0  # step size of log θ beside the weights': it has farther to go
SAVED_EVERY = 200  # steps


@torch.no_grad()
def train_sae(
    activations: Float[Tensor, "N d"] | Sequence[Float[Tensor, "n d"]],
    recipe: TrainingRecipe | None = None,
    *,
    layer: int | None = None,
    hook: str = "",
    source: str = "trained on the model's own activations",
    stage: Stage | None = None,
    state: Path | None = None,
    save_every: int | None = None,
    together: Together = ALONE,
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
        state: file in which the training is kept as it goes; where it is there already, the training goes on
            from it and ends with the same bits as one that was never stopped. Whoever calls removes it, once the
            dictionary is written: until then it is all that a kill would leave.
        save_every: steps between two savings of it; without it `SAVED_EVERY`.
        together: the processes that train this one dictionary, each with `activations` of its own; all get it. A
            step's batch is spread over them, `stage` and `state` are the first one's.

    Returns:
        An SAE for raw activations, decoder rows of norm 1, `apply_b_dec_to_input` true.

    Raises:
        ValueError: no [N, d] matrix, fewer than two tokens, or all tokens alike or not finite.
        UsageError: the state is that of another training, or damaged.
    """
    recipe = recipe or TrainingRecipe()
    tokens = _joined(activations)
    centre, scale = _centre_and_scale(tokens, together)
    weights = _initial_weights(tokens, centre, scale, recipe, together)
    parameters = {name: torch.nn.Parameter(weight) for name, weight in weights.items()}
    groups = [
        {"params": [parameter], "factor": THRESHOLD_FACTOR if name == "log_threshold" else 1.0}
        for name, parameter in parameters.items()
    ]
    optimiser = torch.optim.Adam(groups, lr=recipe.learning_rate, betas=(0.9, 0.99), fused=True)
    watch = FiringWatch(recipe.features, recipe.dead_after, tokens.device)
    kept = TrainingState(state, recipe, tokens) if state is not None and together.rank == 0 else None
    done = together.first(kept.restore(parameters, optimiser, watch) if kept is not None else 0)
    if done:
        make_alike(parameters, optimiser, watch, together)
    if stage is not None:
        stage.total(recipe.steps)
        stage.advance(done)
    with _threads_for(tokens, recipe):
        for step, batch in _batches(tokens, recipe, done, -(-recipe.batch // together.size)):
            x = (batch.float() - centre) * scale
            gradients = _gradients(parameters, x, recipe, watch, together)
            _remove_parallel(gradients["w_dec"], weights["w_dec"])
            for name, parameter in parameters.items():
                parameter.grad = gradients[name]
            for group in optimiser.param_groups:
                group["lr"] = recipe.learning_rate * _schedule(step, recipe) * group["factor"]
            optimiser.step()
            functional.normalize(weights["w_dec"], dim=1, out=weights["w_dec"])
            if kept is not None and (step + 1) % (save_every or SAVED_EVERY) == 0:
                kept.save(step + 1, parameters, optimiser, watch)
            if stage is not None:
                stage.advance()
    together.make_alike(weights.values())
    made = _unscaled(weights, centre, scale, tokens, recipe, together)
    return replace(made, layer=layer, hook=hook, source=source)


def _unscaled(
    weights: dict[str, Tensor],
    centre: Tensor,
    scale: float,
    tokens: Tensor,
    recipe: TrainingRecipe,
    together: Together,
) -> SparseAutoencoder:
    """The dictionary for raw activations."""
    made = SparseAutoencoder(
        w_enc=weights["w_enc"],
        b_enc=weights["b_enc"] / scale,
        w_dec=weights["w_dec"],
        b_dec=centre + weights["b_dec"] / scale,
        activation="topk" if recipe.activation == "topk" else "batchtopk",
        k=recipe.k,
    )
    if recipe.activation == "topk":
        return made
    if recipe.activation == "batchtopk":
        threshold = torch.full_like(made.b_enc, _level(made, tokens, together))
    else:
        threshold = weights["log_threshold"].exp() / scale
    return replace(made, activation="jumprelu", k=None, threshold=threshold, stated_l0=float(recipe.k))


def _level(batchtopk: SparseAutoencoder, tokens: Tensor, together: Together) -> float:
    """The one threshold that leaves k features a token on average, over tokens from everywhere in the set."""
    chosen = tokens[:: -(-len(tokens) // CALIBRATED_TOKENS)].float()
    values = batchtopk.encode(chosen).values
    # The threshold must be exceeded, and the weakest that was chosen is to fire.
    return float(together.mean(values.min() if len(values) else values.new_zeros(()))) * (1 - 1e-6)


def _batches(tokens: Tensor, recipe: TrainingRecipe, done: int, size: int) -> Iterator[tuple[int, Tensor]]:
    """One batch a step, every token once before any comes again; what does not fill a batch is left out."""
    random_order = torch.Generator().manual_seed(recipe.seed)
    remaining = torch.empty(0, dtype=torch.int64)
    for step in range(recipe.steps):
        if step == 0 or len(remaining) < size:
            remaining = torch.randperm(len(tokens), generator=random_order)
        chosen, remaining = remaining[:size], remaining[size:]
        if step >= done:
            yield step, tokens[chosen.to(tokens.device)]


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


def _centre_and_scale(tokens: Tensor, together: Together) -> tuple[Float32[Tensor, " d"], float]:
    """The mean token, and what makes the distance from it 1 on average."""
    centre = together.mean(tokens.mean(dim=0, dtype=torch.float32), len(tokens))
    distance = 0.0
    for start in range(0, len(tokens), 2**16):
        distance += float((tokens[start : start + 2**16].float() - centre).norm(dim=1).sum()) / len(tokens)
    distance = float(
        together.mean(torch.tensor(distance, dtype=torch.float64, device=tokens.device), len(tokens))
    )
    if not (math.isfinite(distance) and distance > 0):
        raise ValueError(
            f"activations must be finite and differ from each other, got mean distance {distance}"
        )
    return centre, 1.0 / distance


def _initial_weights(
    tokens: Tensor,
    centre: Float32[Tensor, " d"],
    scale: float,
    recipe: TrainingRecipe,
    together: Together,
) -> dict[str, Float32[Tensor, "..."]]:
    """Random unit directions for the decoder, the same for the encoder, biases 0, thresholds at the wanted L0."""
    generator = torch.Generator().manual_seed(recipe.seed + 1)
    directions = torch.randn(recipe.features, tokens.shape[1], generator=generator)
    directions = functional.normalize(directions.to(tokens.device), dim=1)
    weights = {
        "w_enc": directions.clone(),
        "b_enc": torch.zeros(recipe.features, device=tokens.device),
        "w_dec": directions,
        "b_dec": torch.zeros_like(centre),
    }
    if recipe.activation == "jumprelu":
        begun = SparseAutoencoder(  # in raw units
            w_enc=directions, b_enc=weights["b_enc"], w_dec=directions, b_dec=centre,
            activation="batchtopk", k=recipe.k,
        )  # fmt: skip
        level = max(_level(begun, tokens[: 8 * recipe.batch], together) * scale, 1e-4)
        weights["log_threshold"] = torch.full_like(weights["b_enc"], math.log(level))
    return weights


def _gradients(
    parameters: dict[str, torch.nn.Parameter],
    x: Float32[Tensor, "B d"],
    recipe: TrainingRecipe,
    watch: FiringWatch,
    together: Together,
) -> dict[str, Tensor]:
    """Gradients of the loss on one batch, AuxK's included."""
    step = gradients_of(parameters, x, recipe)
    fired = torch.zeros(recipe.features, dtype=torch.bool, device=x.device)
    fired[step.codes.indices[step.codes.values > 0]] = True
    watch.saw(together.any(fired))
    dead = watch.dead()
    if len(dead) and recipe.auxiliary_weight > 0:
        part = slice(0, AUXILIARY_ROWS)
        plain = {name: parameter.detach() for name, parameter in parameters.items()}
        centred = x[part] - plain["b_dec"]
        add_auxiliary_gradients(
            plain, step.gradients, centred, -step.error[part], dead, recipe.auxiliary_weight
        )
    return together.gradients(step.gradients, step.energy)


def _remove_parallel(gradient: Tensor, directions: Tensor) -> None:
    """Drop the part that would only change a direction's length."""
    along = torch.linalg.vecdot(gradient, directions, dim=1)
    gradient.addcmul_(directions, along[:, None], value=-1.0)


def _schedule(step: int, recipe: TrainingRecipe) -> float:
    """Share of the peak step size: a linear rise, a plateau, a linear fall."""
    rise = (step + 1) / max(1.0, recipe.warm_up * recipe.steps)
    fall = (recipe.steps - step) / max(1.0, recipe.decay * recipe.steps)
    return min(1.0, rise, fall)
