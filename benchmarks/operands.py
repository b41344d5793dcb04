"""What the jobs share: one job with its ways, the sizes, and the tensors that all ways are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import linear

K = 64
FLOOR = "matrix product alone"
Way = Callable[[], object]


@dataclass(kw_only=True)
class Job:
    """One thing to do in several ways.

    Attributes:
        ways: by name; `FLOOR` is the bare matrix product (or products) of the job.
        missing: ways that are not there, with the reason.
        disagreements: ways whose result is not that of the others, with the largest difference.
        flop: floating-point operations of the floor.
        notes: what a way says of its own result.
    """

    name: str
    ways: dict[str, Way]
    flop: float
    missing: dict[str, str] = field(default_factory=dict)
    disagreements: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of the SAE jobs."""

    tokens: int
    width: int
    features: int

    def __str__(self) -> str:
        return f"N={self.tokens} d={self.width} F={self.features}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Operands:
    """The tensors that all ways of all SAE jobs of a shape work on; thresholds give an L0 of about K."""

    x: Tensor
    w_enc: Tensor
    b_enc: Tensor
    threshold: Tensor
    w_dec: Tensor

    @classmethod
    def random(cls, shape: Shape, dtype: torch.dtype, device: str) -> Operands:
        """Normal activations with a few large dimensions, as residual streams have; encoder rows of norm 1."""
        generator = torch.Generator(device).manual_seed(0)

        def normal(*size: int) -> Tensor:
            return torch.randn(*size, generator=generator, device=device)

        x = normal(shape.tokens, shape.width)
        x[:, : max(1, shape.width // 500)] *= 20
        w_enc = normal(shape.features, shape.width)
        w_enc[:, : max(1, shape.width // 500)] /= 20
        w_enc /= w_enc.norm(dim=1, keepdim=True)
        b_enc = 0.05 * normal(shape.features)
        sample = linear(x[:256], w_enc, b_enc)
        level = sample.flatten().kthvalue(sample.numel() - len(sample) * K).values
        return cls(
            x=x.to(dtype),
            w_enc=w_enc.to(dtype),
            b_enc=b_enc,
            threshold=level.expand(shape.features).contiguous(),
            w_dec=w_enc.to(dtype).clone(),
        )


def dense_stats(codes: Tensor) -> tuple[Tensor, ...]:
    return (codes > 0).sum(0), codes.sum(0), codes.square().sum(0), codes.amax(0)
