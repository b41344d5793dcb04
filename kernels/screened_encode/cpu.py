"""Screened encoding on a CPU: an int8 product block by block, then exact dot products of the survivors.

Each thread works on its own block of tokens. Within a strip of features the bound is the strip's largest,
so a comparison with one number a token finds the survivors. For TopK their estimates minus the bound feed
the same running k best as in `sae_encode`; what can still reach them at the end is rescored by a sampled
product, float32. int32 accumulation is exact; deterministic.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from ..sae_encode import cpu as exact
from ..sae_encode.sparse_codes import SparseCodes
from ..sae_encode.threads import side_by_side
from .screen import SIGMAS

if TYPE_CHECKING:
    from jaxtyping import Float, Float32
    from numpy.typing import NDArray
    from torch import Tensor

    from .screen import Activations, Screen


# Half of the exact encoder's: an int32 and a float32 block stay in the cache together.
BLOCK_SIZE = 2**20

with warnings.catch_warnings():
    # torch says once, at the first such tensor, that their support is in beta; the sampled product is all
    # that is used of it, and the tests hold it to the definition.
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor(
        torch.zeros(1, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), torch.zeros(0), size=(0, 1)
    )


class Candidates(NamedTuple):
    """Entries of a block that may be kept: estimate, and the bound on its error; tokens ascending."""

    rows: NDArray[np.int64]
    features: NDArray[np.int64]
    estimates: NDArray[np.float32]
    bounds: NDArray[np.float32]

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Candidates:
        """Some of them, by mask or by place."""
        return Candidates(
            self.rows[chosen], self.features[chosen], self.estimates[chosen], self.bounds[chosen]
        )


class Rescored(NamedTuple):
    """The kept entries of a block, how many were rescored, and the largest error in standard deviations."""

    kept: exact.Survivors
    candidates: int
    deviation: float


class Buffers:
    """The memory that one thread computes a block in."""

    def __init__(self) -> None:
        self.product = torch.empty(BLOCK_SIZE, dtype=torch.int32)
        self.encode = exact.Buffers(BLOCK_SIZE)


def encode(x: Float[Tensor, "N d"], screen: Screen) -> tuple[SparseCodes, int, float]:
    """Codes, the number of candidates, and the largest error among them in standard deviations."""
    outlying = screen.outlying(x)
    sides = _Sides(screen, screen.apart(outlying), screen.encoder.w_enc.float())
    blocks = exact.token_blocks(len(x), screen.encoder.feature_count, BLOCK_SIZE)

    def work(block: slice, buffers: Buffers) -> Rescored:
        return _block(x[block], screen.quantise(x[block], outlying), sides, buffers)

    done = list(side_by_side(work, blocks, Buffers))
    counts = [np.zeros(1, dtype=np.int64)]
    counts += [
        np.bincount(part.kept.rows, minlength=block.stop - block.start)
        for block, part in zip(blocks, done, strict=True)
    ]
    codes = SparseCodes(
        row_offsets=torch.from_numpy(np.concatenate(counts).cumsum()),
        indices=torch.from_numpy(np.concatenate([np.zeros(0, np.int64), *(p.kept.features for p in done)])),
        values=torch.from_numpy(np.concatenate([np.zeros(0, np.float32), *(p.kept.values for p in done)])),
        feature_count=screen.encoder.feature_count,
    )
    return codes, sum(p.candidates for p in done), max((p.deviation for p in done), default=0.0)


class _Sides(NamedTuple):
    """The encoder's side of every product."""

    screen: Screen
    apart: Float32[Tensor, "F o"]
    weights: Float32[Tensor, "F d"]  # widened once a call where they are of half precision


def _block(x: Float[Tensor, "n d"], quantised: Activations, sides: _Sides, buffers: Buffers) -> Rescored:
    screen = sides.screen
    encoder = screen.encoder
    rows = encoder.prepared(x).float()
    if encoder.k is None:
        found = _firing(quantised, sides, buffers)
        values = _rescore(rows, sides, found)
        keep = values > encoder.firing_floor.numpy()[found.features]
        kept = exact.Survivors(found.rows[keep], found.features[keep], values[keep])
    else:
        found, values = _rescored_top(rows, _top(quantised, sides, buffers), sides)
        everything = exact.Survivors(found.rows, found.features, values)
        kept = exact.best_of(everything, len(x), encoder.k, signed=encoder.activation == "abstopk")
    sigma = screen.sigma_of(quantised, torch.from_numpy(found.rows), torch.from_numpy(found.features)).numpy()
    off = np.abs(values - found.estimates) / np.maximum(sigma, np.finfo(np.float32).tiny)
    return Rescored(kept, len(values), float(off.max(initial=0.0)))


def _rescored_top(
    x: Float32[Tensor, "n d"], found: Candidates, sides: _Sides
) -> tuple[Candidates, NDArray[np.float32]]:
    """The candidates that are rescored, and their exact values: first k a token, then what may beat those."""
    encoder = sides.screen.encoder
    signed, k = encoder.activation == "abstopk", encoder.k or 1
    sizes = np.abs(found.estimates) if signed else found.estimates
    best = exact.best_of(exact.Survivors(found.rows, np.arange(len(sizes)), sizes), len(x), k, signed=False)
    first = np.zeros(len(sizes), dtype=np.bool_)
    first[best.features] = True
    sure = found.take(first)
    values = _rescore(x, sides, sure)
    exact_sizes = np.abs(values) if signed else values
    level = exact_sizes.reshape(len(x), k).min(axis=1)
    more = found.take(~first & (sizes + found.bounds >= level[found.rows]))
    both = _joined([sure, more])
    order = np.argsort(both.rows.astype(np.uint16), kind="stable")
    joined = np.concatenate([values, _rescore(x, sides, more)])
    return both.take(order), joined[order]


def _estimates(
    x: Activations, sides: _Sides, strip: slice, buffers: Buffers
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Estimated pre-activations [n, f] of a strip, and per token the largest bound in it [n]."""
    screen, shape = sides.screen, (len(x.scale), strip.stop - strip.start)
    product = buffers.product[: shape[0] * shape[1]].view(shape)
    torch._int_mm(x.integers, screen.weights.integers[strip].T, out=product)
    out = buffers.encode.pre[: product.numel()].view(shape)
    out.copy_(product)
    out *= screen.weights.scale[strip]
    out *= x.scale[:, None]
    out += screen.bias[strip]
    if sides.apart.shape[1]:
        torch.addmm(out, x.apart, sides.apart[strip].T, out=out)
    width = screen.rotation.shape[0]
    own = x.error * float(screen.norm[strip].max())
    lost = x.norm * float(screen.weights.error[strip].max())
    return out.numpy(), (SIGMAS * torch.hypot(own, lost) / width**0.5).numpy()


def _firing(x: Activations, sides: _Sides, buffers: Buffers) -> Candidates:
    screen = sides.screen
    floor = screen.encoder.firing_floor
    parts = []
    for strip in exact.feature_strips(screen.encoder.feature_count):
        estimate, bound = _estimates(x, sides, strip, buffers)
        mask = buffers.encode.mask[: estimate.size].reshape(estimate.shape)
        reach = torch.from_numpy(estimate).sub_(floor[strip]).numpy()
        found = exact.survivors(reach, np.greater(reach, -bound[:, None], out=mask), strip.start)
        estimates = found.values + floor.numpy()[found.features]
        parts.append(Candidates(found.rows, found.features, estimates, bound[found.rows]))
    return _in_token_order(parts)


def _top(x: Activations, sides: _Sides, buffers: Buffers) -> Candidates:
    encoder = sides.screen.encoder
    k, signed = encoder.k or 1, encoder.activation == "abstopk"
    best = np.full((len(x.scale), k), exact.EMPTY)
    level = np.full(len(x.scale), -np.inf, dtype=np.float32)
    parts: list[Candidates] = []
    for strip in exact.feature_strips(encoder.feature_count):
        estimate, bound = _estimates(x, sides, strip, buffers)
        size = buffers.encode.sizes(estimate) if signed else estimate
        if not parts:
            level = exact.first_level(size, k) - bound
        mask = buffers.encode.mask[: estimate.size].reshape(estimate.shape)
        found = exact.survivors(
            estimate, np.greater_equal(size, (level - bound)[:, None], out=mask), strip.start
        )
        own = bound[found.rows]
        parts.append(Candidates(found.rows, found.features, found.values, own))
        sizes = np.abs(found.values) if signed else found.values
        best = exact.keep_best(best, exact.Survivors(found.rows, found.features, sizes - own), signed=False)
        level = exact.lowest_of(best)
    everything = _in_token_order(parts)
    sizes = np.abs(everything.estimates) if signed else everything.estimates
    return everything.take(sizes + everything.bounds >= level[everything.rows])


def _in_token_order(parts: list[Candidates]) -> Candidates:
    if len(parts) == 1:
        return parts[0]
    joined = _joined(parts)
    return joined.take(np.argsort(joined.rows.astype(np.uint16), kind="stable"))


def _joined(parts: list[Candidates]) -> Candidates:
    return Candidates(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.estimates for part in parts]),
        np.concatenate([part.bounds for part in parts]),
    )


def _rescore(x: Float32[Tensor, "n d"], sides: _Sides, found: Candidates) -> NDArray[np.float32]:
    """Exact pre-activations of the candidates."""
    encoder = sides.screen.encoder
    features = torch.from_numpy(found.features)
    offsets = np.concatenate([[0], np.bincount(found.rows, minlength=len(x)).cumsum()])
    pattern = torch.sparse_csr_tensor(
        torch.from_numpy(offsets), features, torch.zeros(len(features)),
        size=(len(x), encoder.feature_count), check_invariants=False,
    )  # fmt: skip
    products = torch.sparse.sampled_addmm(pattern, x, sides.weights.T, beta=0.0).values()
    values: Tensor = products + encoder.b_enc[features]
    if encoder.feature_scale is not None:
        values *= encoder.feature_scale[features]
    rescored: NDArray[np.float32] = values.numpy()
    return rescored
