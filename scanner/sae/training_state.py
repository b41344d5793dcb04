"""A training that was interrupted, on disk: weights, Adam's moments, who has been silent for how long, and the step.

Nothing of it is a pickle. A state belongs to one recipe and one set of tokens (`training_identity.py`); another is refused.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import UsageError
from .dead_features import FiringWatch
from .recipe import TrainingRecipe
from .together import Together
from .training_identity import check_identity, identity

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class TrainingState:
    """The file of one training."""

    def __init__(self, path: Path, recipe: TrainingRecipe, tokens: Tensor) -> None:
        """Name the file and what it belongs to; nothing is read or written yet."""
        self.path = path
        self._identity = identity(recipe, tokens)

    def save(
        self,
        step: int,
        parameters: Mapping[str, torch.nn.Parameter],
        optimiser: torch.optim.Optimizer,
        watch: FiringWatch,
    ) -> None:
        """Write it; a process that dies meanwhile leaves the one before."""
        held = {name: parameter.detach().cpu() for name, parameter in parameters.items()}
        for name, parameter in parameters.items():
            held |= {f"{name}.{kind}": optimiser.state[parameter][kind].cpu() for kind in MOMENTS}
        held["silent_steps"] = watch.silent_steps.cpu()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        save_file(
            {name: tensor.contiguous() for name, tensor in held.items()},
            beside,
            metadata={**self._identity, "step": str(step)},
        )
        beside.replace(self.path)

    @torch.no_grad()
    def restore(
        self,
        parameters: Mapping[str, torch.nn.Parameter],
        optimiser: torch.optim.Optimizer,
        watch: FiringWatch,
    ) -> int:
        """Put what was saved in place.

        Returns:
            The number of steps that are done; 0 where nothing was saved.

        Raises:
            UsageError: the file is damaged, or belongs to another training.
        """
        if not self.path.exists():
            return 0
        try:
            with safe_open(self.path, framework="pt") as file:
                about = file.metadata() or {}
                held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        except (SafetensorError, OSError) as problem:
            raise UsageError(
                f"{self.path} is no state of a training ({problem}); remove it to start anew"
            ) from None
        check_identity(about, self._identity, self.path)
        for name, parameter in parameters.items():
            parameter.copy_(held[name])
            moments = {kind: held[f"{name}.{kind}"] for kind in MOMENTS}
            optimiser.state[parameter] = {
                kind: moment.to(parameter.device) for kind, moment in moments.items()
            }
        watch.silent_steps.copy_(held["silent_steps"])
        return int(about["step"])


def make_alike(
    parameters: Mapping[str, torch.nn.Parameter],
    optimiser: torch.optim.Optimizer,
    watch: FiringWatch,
    together: Together,
) -> None:
    """Give every process what the first one has restored."""
    for parameter in parameters.values():
        moments = optimiser.state.setdefault(parameter, {})
        for kind in MOMENTS:
            moments.setdefault(
                kind, torch.zeros(() if kind == "step" else parameter.shape, device=parameter.device)
            )
        together.make_alike([parameter.data, *(moments[kind] for kind in MOMENTS)])
    together.make_alike([watch.silent_steps])
